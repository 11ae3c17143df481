import { readFileSync } from 'node:fs'
import test from 'ava'
import type { ListOptions } from 'coppice'
import { rejectsCode, throwsCode, volatile } from './support/database.js'
import { expectedItems, type Items, type ListingRequest, listAll, listPages } from './support/list-model.js'

interface ListCases {
  name: string
  stored: string[]
  /** What each request comes to over all its pages; with a limit, its pages too. */
  cases: ({ request: ListingRequest & { limit?: number }; pages?: Items[] } & Items)[]
}

const table = JSON.parse(readFileSync(new URL('./fixtures/list-cases.json', import.meta.url), 'utf8')) as ListCases[]

test('the table of listings has at least 80 cases', (t) => {
  t.true(table.reduce((sum, { cases }) => sum + cases.length, 0) >= 80)
})

for (const { name, stored, cases } of table) {
  test(`list of ${name} answers as S3 does, whatever the page size`, (t) => {
    const tree = volatile(t).tree()
    for (const key of stored) tree.put(key, key)
    for (const { request: whole, keys, prefixes, pages } of cases) {
      const { limit: pageSize, ...request } = whole
      if (pages) t.deepEqual(listPages(tree, request, pageSize as number), pages, JSON.stringify(whole))
      t.deepEqual(expectedItems(stored, request), { keys, prefixes }, `the table itself: ${JSON.stringify(request)}`)
      for (let limit = 1; limit <= keys.length + prefixes.length + 1; limit++) {
        t.deepEqual(listAll(tree, request, limit), { keys, prefixes }, `${JSON.stringify(request)}, limit ${limit}`)
      }
    }
  })
}

/** Every combination of the alternatives of each part. */
function combinations<T>(...parts: T[][]): T[][] {
  return parts.reduce<T[][]>((rows, part) => rows.flatMap((row) => part.map((value) => [...row, value])), [[]])
}

test('list agrees with a model on generated keys', (t) => {
  const segments = ['', 'a', 'ab', 'b', '/', '//', '.', 'a/', 'é']
  const keys = combinations(segments, segments, segments).flatMap((parts) => [parts.join('/'), parts.slice(1).join('')])
  const tree = volatile(t).tree()
  tree.putMany(keys.map((key) => [key, '']))
  const prefixes = ['', 'a', 'a/', 'a//', '/', 'é/', 'zz']
  for (const [prefix, delimiter, after] of combinations(prefixes, ['', '/', '//', 'b'], ['', 'a/a', '/'])) {
    const request = { prefix: prefix as string, ...(delimiter && { delimiter }), ...(after && { after }) }
    const expected = expectedItems([...new Set(keys)], request)
    for (const limit of [1, 7, 1000]) t.deepEqual(listAll(tree, request, limit), expected, JSON.stringify(request))
  }
})

test('list has at most 1000 items by default', (t) => {
  const tree = volatile(t).tree()
  tree.putMany(Array.from({ length: 1001 }, (_, index) => [String(index).padStart(4, '0'), '']))
  const { keys, next } = tree.list()
  t.is(keys.length, 1000)
  t.deepEqual(tree.list({ token: next as string }), { keys: ['1000'], prefixes: [] })
})

test('list of more items than the addon hands over at once is one page', (t) => {
  const tree = volatile(t).tree()
  const stored = Array.from({ length: 5000 }, (_, index) => String(index).padStart(5, '0'))
  tree.putMany(stored.map((key) => [key, key]))
  const listing = tree.list({ limit: 5000, values: true })
  t.deepEqual(listing.keys, stored)
  t.deepEqual(listing.values?.map(String), stored)
  t.is(listing.next, undefined)
})

test('list with limit 0 is empty and has no next', (t) => {
  const tree = volatile(t).tree()
  tree.put('a', 'b')
  t.deepEqual(tree.list({ limit: 0 }), { keys: [], prefixes: [] })
})

test('list with values has one for each key and none for prefixes', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  tree.put('a', '1')
  tree.put('b/c', '2')
  tree.put('d', '')
  t.deepEqual(tree.list({ delimiter: '/', values: true }), { keys: ['a', 'd'], values: ['1', ''], prefixes: ['b/'] })
  t.deepEqual(tree.list({ delimiter: '/', values: false }), { keys: ['a', 'd'], prefixes: ['b/'] })
})

test('list reads values of any size', (t) => {
  const tree = volatile(t).tree()
  const sizes = [0, 1, 100_000, 3_000_000, 10, 70_000]
  sizes.forEach((size, index) => {
    tree.put(`k${index}`, Buffer.alloc(size, index))
  })
  const { values } = tree.list({ values: true })
  t.deepEqual(
    values?.map((value) => value.length),
    sizes,
  )
  t.true(values?.every((value, index) => value.every((byte) => byte === index)))
})

test('list goes on behind a key that was deleted meanwhile', (t) => {
  const tree = volatile(t).tree()
  for (const key of ['a', 'b', 'c']) tree.put(key, '')
  const { next } = tree.list({ limit: 2 })
  tree.delete('b')
  t.deepEqual(tree.list({ token: next as string }).keys, ['c'])
})

test('list shows keys that were put behind the last page', (t) => {
  const tree = volatile(t).tree()
  for (const key of ['a/1', 'b/1', 'd']) tree.put(key, '')
  const { prefixes, next } = tree.list({ delimiter: '/', limit: 1 })
  tree.put('a/2', '')
  tree.put('c', '')
  t.deepEqual(prefixes, ['a/'])
  t.deepEqual(tree.list({ delimiter: '/', token: next as string }), { keys: ['c', 'd'], prefixes: ['b/'] })
})

test('tokens are opaque text, safe in a URL', (t) => {
  const tree = volatile(t).tree()
  tree.put('ÿ?/&', '')
  tree.put('ÿ?/é', '')
  const { next } = tree.list({ limit: 1 })
  t.regex(next as string, /^[A-Za-z0-9_-]+$/)
})

test('list refuses tokens that are none', (t) => {
  const tree = volatile(t).tree()
  const bad = ['', 'a', '!!!!', 'AQ', 'AgBh', 'AQJh', `AQBh=`, ' AQBh', 'x'.repeat(20_000), 7, null]
  for (const token of bad) {
    throwsCode(t, () => tree.list({ token: token as string }), 'ERR_COPPICE_INVALID_ARGUMENT', /^token must/)
  }
})

test('list refuses tokens of a listing under another prefix', async (t) => {
  const tree = volatile(t).tree('t', { keys: 'buffer' })
  for (const key of ['a/1', 'a/2/x', 'a/3', 'b/1', 'b/2', 'é/1', 'é/2']) tree.put(key, '')
  const tokenOf = (options: ListOptions) => tree.list({ limit: 1, ...options }).next as string
  const [key, folder, all] = [{ prefix: 'a/' }, { prefix: 'a/', after: 'a/1', delimiter: '/' }, {}].map(tokenOf)
  for (const token of [key, folder, all] as string[]) {
    for (const prefix of ['b/', 'a/1/', 'a/2/y', 'aa', 'é/', Buffer.from('b/')]) {
      const message = /^token must be the 'next' of a listing under the prefix /
      throwsCode(t, () => tree.list({ prefix, token }), 'ERR_COPPICE_INVALID_ARGUMENT', message)
      await rejectsCode(t, () => tree.promises.list({ prefix, token }), 'ERR_COPPICE_INVALID_ARGUMENT')
    }
  }
  // What it ended with is what counts.
  t.deepEqual(tree.list({ prefix: 'a/', token: all as string }).keys.map(String), ['a/2/x', 'a/3'])
  t.deepEqual(tree.list({ prefix: Buffer.from('é/'), token: tokenOf({ prefix: 'é/' }) }).keys.map(String), ['é/2'])
})

test('list refuses options that cannot be', (t) => {
  const tree = volatile(t).tree()
  const bad: [object, RegExp][] = [
    [{ delimiter: '' }, /delimiter/],
    [{ delimiter: 47 }, /delimiter.*47/],
    [{ delimiter: Buffer.from('/') }, /delimiter/],
    [{ delimiter: '\ud800' }, /delimiter/],
    [{ limit: -1 }, /limit.*-1/],
    [{ limit: 1.5 }, /limit.*1\.5/],
    [{ limit: '10' }, /limit/],
    [{ limit: Number.NaN }, /limit/],
    [{ prefix: 1 }, /prefix/],
    [{ prefix: null }, /prefix/],
    [{ after: {} }, /after/],
    [{ values: 1 }, /values/],
    [{ reverse: true }, /'reverse'/],
  ]
  for (const [options, message] of bad) {
    throwsCode(t, () => tree.list(options), 'ERR_COPPICE_INVALID_ARGUMENT', message)
  }
  throwsCode(t, () => tree.list('a/' as never), 'ERR_COPPICE_INVALID_ARGUMENT', /list options/)
  throwsCode(t, () => tree.list(null as never), 'ERR_COPPICE_INVALID_ARGUMENT', /null/)
})

test('options that are undefined are as good as left out', (t) => {
  const tree = volatile(t).tree()
  tree.put('a', '')
  const options = { prefix: undefined, delimiter: undefined, after: undefined, token: undefined, limit: undefined }
  t.deepEqual(tree.list(options as never).keys, ['a'])
})
