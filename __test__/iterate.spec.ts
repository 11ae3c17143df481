import test from 'ava'
import type { Range } from 'coppice'
import { throwsCode, volatile } from './support/database.js'

const letters = ['a', 'b', 'c', 'd', 'e']

test('keys, values, entries and records of a tree, in order', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  const versions = ['c', 'a', 'b'].map((key) => [key, tree.put(key, key.toUpperCase())] as const)
  const version = new Map(versions)
  t.deepEqual([...tree.keys()], ['a', 'b', 'c'])
  t.deepEqual([...tree.values()], ['A', 'B', 'C'])
  t.deepEqual(
    [...tree.entries()],
    [
      ['a', 'A'],
      ['b', 'B'],
      ['c', 'C'],
    ],
  )
  t.deepEqual(
    [...tree.records()],
    ['a', 'b', 'c'].map((key) => ({ key, value: key.toUpperCase(), version: version.get(key) as number })),
  )
})

test('an empty tree has nothing to visit', (t) => {
  const tree = volatile(t).tree()
  t.deepEqual([...tree.keys(), ...tree.values(), ...tree.entries(), ...tree.records()], [])
})

const ranges: [Range, string[]][] = [
  [{}, letters],
  [{ gt: 'b' }, ['c', 'd', 'e']],
  [{ gte: 'b' }, ['b', 'c', 'd', 'e']],
  [{ gt: 'bb' }, ['c', 'd', 'e']],
  [{ lt: 'b' }, ['a']],
  [{ lte: 'b' }, ['a', 'b']],
  [{ gt: 'a', lt: 'e' }, ['b', 'c', 'd']],
  [{ gte: 'b', lte: 'd' }, ['b', 'c', 'd']],
  [{ gt: 'b', gte: 'b' }, ['c', 'd', 'e']],
  [{ gt: 'a', gte: 'c' }, ['c', 'd', 'e']],
  [{ gt: 'c', gte: 'a' }, ['d', 'e']],
  [{ lt: 'd', lte: 'd' }, ['a', 'b', 'c']],
  [{ lt: 'e', lte: 'b' }, ['a', 'b']],
  [{ lt: 'b', lte: 'e' }, ['a']],
  [{ gt: 'd', lt: 'b' }, []],
  [{ gt: 'c', lt: 'c' }, []],
  [{ gte: 'c', lte: 'c' }, ['c']],
  [{ gt: '' }, letters],
  [{ gte: '' }, letters],
  [{ lt: '' }, []],
  [{ limit: 0 }, []],
  [{ limit: 2 }, ['a', 'b']],
  [{ limit: 5 }, letters],
  [{ limit: 6 }, letters],
  [{ gt: 'b', limit: 2 }, ['c', 'd']],
  [{ prefix: 'c' }, ['c']],
  [{ prefix: '' }, letters],
  [{ prefix: 'c', gt: 'c' }, []],
  [{ prefix: 'c', lt: 'b' }, []],
  [{ gt: Buffer.from('b'), lte: Uint8Array.of(100) }, ['c', 'd']],
]

for (const [range, expected] of ranges) {
  test(`the range ${JSON.stringify(range)}`, (t) => {
    const tree = volatile(t).tree()
    for (const letter of letters) tree.put(letter, letter)
    t.deepEqual([...tree.keys(range)], expected)
    t.deepEqual([...tree.values(range)].map(String), expected)
  })
}

test('a prefix bounds a range like any other bound', (t) => {
  const tree = volatile(t).tree()
  for (const key of ['a', 'a/', 'a/1', 'a/2', 'a/\u00ff', 'a0', 'b']) tree.put(key, '')
  t.deepEqual([...tree.keys({ prefix: 'a/' })], ['a/', 'a/1', 'a/2', 'a/\u00ff'])
  t.deepEqual([...tree.keys({ prefix: 'a/', gt: 'a/1' })], ['a/2', 'a/\u00ff'])
  t.deepEqual([...tree.keys({ prefix: 'a/', gt: 'a', lte: 'a/1' })], ['a/', 'a/1'])
  t.deepEqual([...tree.keys({ prefix: 'a/', lt: 'z', limit: 1 })], ['a/'])
})

test('every range is visited backwards too', (t) => {
  const tree = volatile(t).tree()
  for (const letter of letters) tree.put(letter, '')
  for (const [{ limit, ...range }, forwards] of ranges) {
    const backwards = limit === undefined ? [...forwards].reverse() : [...tree.keys(range)].reverse().slice(0, limit)
    t.deepEqual([...tree.keys({ ...range, ...(limit !== undefined && { limit }), reverse: true })], backwards)
    t.deepEqual([...tree.keys({ ...range, ...(limit !== undefined && { limit }), reverse: false })], forwards)
  }
})

test('a key comes behind those that it is a prefix of, backwards', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  const keys = ['', '\0', 'a', 'a\0', 'a/', 'a/1', 'a/\u00ff', 'b']
  const versions = keys.map((key) => tree.put(key, `=${key}`))
  t.deepEqual([...tree.keys({ reverse: true })], [...keys].reverse())
  t.deepEqual([...tree.keys({ reverse: true, prefix: 'a/' })], ['a/\u00ff', 'a/1', 'a/'])
  t.deepEqual([...tree.keys({ reverse: true, gte: 'a', lt: 'a/1' })], ['a/', 'a\0', 'a'])
  t.deepEqual([...tree.values({ reverse: true, limit: 2 })], ['=b', '=a/\u00ff'])
  t.deepEqual([...tree.entries({ reverse: true, lte: 'a' })].at(0), ['a', '=a'])
  t.deepEqual(
    [...tree.records({ reverse: true, limit: 1 })],
    [{ key: 'b', value: '=b', version: versions.at(-1) as number }],
  )
})

test('a range of thousands is visited backwards, whatever the pages', (t) => {
  const tree = volatile(t).tree()
  const keys = Array.from({ length: 5000 }, (_, index) => `k${String(index).padStart(5, '0')}`)
  // Scattered, so that frames hold keys that came late.
  tree.putMany(keys.map((_, index) => keys[(index * 1237) % 5000] as string).map((key) => [key, key.repeat(30)]))
  const backwards = [...keys].reverse()
  t.deepEqual([...tree.keys({ reverse: true })], backwards)
  t.true(
    [...tree.entries({ reverse: true })].every(
      ([key, value], at) => key === backwards[at] && `${value}` === key.repeat(30),
    ),
  )
  for (const limit of [63, 64, 65, 320, 1343, 1344, 1345, 4999]) {
    t.deepEqual([...tree.keys({ reverse: true, limit })], backwards.slice(0, limit))
    const [low, high] = [keys[limit] as string, keys[4999 - (limit >> 2)] as string]
    t.deepEqual(
      [...tree.keys({ reverse: true, gt: low, lte: high })],
      backwards.filter((key) => key > low && key <= high),
    )
  }
})

test('deleting all that is visited backwards', (t) => {
  const tree = volatile(t).tree()
  tree.putMany(Array.from({ length: 3000 }, (_, index) => [`k${index}`, '']))
  for (const key of tree.keys({ reverse: true })) t.true(tree.delete(key))
  t.is(tree.count(), 0)
})

test('a range of thousands is visited whole', (t) => {
  const tree = volatile(t).tree()
  const keys = Array.from({ length: 5000 }, (_, index) => `k${String(index).padStart(5, '0')}`)
  tree.putMany(keys.map((key) => [key, key.repeat(30)]))
  t.deepEqual([...tree.keys()], keys)
  t.true([...tree.entries()].every(([key, value], index) => key === keys[index] && String(value) === key.repeat(30)))
  for (const limit of [63, 64, 65, 320, 1343, 1344, 1345, 4999]) {
    t.deepEqual([...tree.keys({ limit })], keys.slice(0, limit))
  }
})

test('values of any size are visited', (t) => {
  const tree = volatile(t).tree()
  const sizes = [10, 200_000, 0, 65_536, 1, 16_385]
  sizes.forEach((size, index) => {
    tree.put(`k${index}`, Buffer.alloc(size, index))
  })
  t.deepEqual(
    [...tree.values()].map((value) => value.length),
    sizes,
  )
})

test('an iterator is its own iterable, and stays at its end', (t) => {
  const tree = volatile(t).tree()
  tree.put('a', '')
  const keys = tree.keys()
  t.is(keys[Symbol.iterator](), keys)
  t.deepEqual(keys.next(), { value: 'a', done: false })
  t.deepEqual(keys.next(), { value: undefined, done: true })
  tree.put('b', '')
  t.deepEqual(keys.next(), { value: undefined, done: true })
})

test('a loop may be left, and the iterator is done', (t) => {
  const tree = volatile(t).tree()
  for (const letter of letters) tree.put(letter, '')
  const keys = tree.keys()
  for (const key of keys) if (key === 'b') break
  t.deepEqual([...keys], [])
  const thrown = t.throws(() => {
    for (const key of tree.keys()) throw new Error(key)
  })
  t.is(thrown?.message, 'a')
})

test('two iterators at once do not disturb each other', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  for (const letter of letters) tree.put(letter, letter)
  const pairs: string[] = []
  for (const outer of tree.values()) for (const [inner] of tree.entries()) pairs.push(outer + inner)
  t.deepEqual(
    pairs,
    letters.flatMap((outer) => letters.map((inner) => outer + inner)),
  )
})

test('writing while iterating: each key once, and every key that stayed', (t) => {
  const tree = volatile(t).tree()
  const keys = Array.from({ length: 2000 }, (_, index) => `k${String(index).padStart(5, '0')}`)
  tree.putMany(keys.map((key) => [key, '']))
  const seen: string[] = []
  for (const key of tree.keys({ prefix: 'k' })) {
    seen.push(key)
    if (key.endsWith('5')) tree.delete(key)
    tree.put(`a${key}`, 'in front of all')
    tree.put(key, 'again')
  }
  t.deepEqual(seen, keys)
})

test('deleting all that is visited', (t) => {
  const tree = volatile(t).tree()
  tree.putMany(Array.from({ length: 3000 }, (_, index) => [`k${index}`, '']))
  for (const key of tree.keys()) t.true(tree.delete(key))
  t.is(tree.count(), 0)
})

test('a key put behind the page in hand is visited', (t) => {
  const tree = volatile(t).tree()
  tree.putMany(Array.from({ length: 100 }, (_, index) => [`k${String(index).padStart(3, '0')}`, '']))
  const keys = tree.keys()
  keys.next()
  tree.put('z', '')
  t.is([...keys].at(-1), 'z')
})

test('ranges that cannot be are refused when they are given, not when they are walked', (t) => {
  const tree = volatile(t).tree()
  const bad: [unknown, RegExp][] = [
    [{ reverse: 1 }, /reverse.*1/],
    [{ backwards: true }, /'backwards'/],
    [{ limit: -1 }, /limit.*-1/],
    [{ limit: 0.5 }, /limit/],
    [{ limit: Number.POSITIVE_INFINITY }, /limit/],
    [{ limit: '5' }, /limit/],
    [{ gt: 5 }, /gt.*5/],
    [{ gte: {} }, /gte/],
    [{ lt: null }, /lt.*null/],
    [{ lte: [] }, /lte.*array/],
    [{ prefix: false }, /prefix.*false/],
    ['a', /range.*"a"/],
    [null, /range.*null/],
    [[], /range.*array/],
  ]
  for (const [range, message] of bad) {
    for (const method of ['keys', 'values', 'entries', 'records'] as const) {
      throwsCode(t, () => tree[method](range as never), 'ERR_COPPICE_INVALID_ARGUMENT', message)
    }
  }
})

test('bounds are copied: changing one afterwards changes nothing', (t) => {
  const tree = volatile(t).tree()
  for (const letter of letters) tree.put(letter, '')
  const bound = Buffer.from('b')
  const keys = tree.keys({ gt: bound })
  bound.fill('d')
  t.deepEqual([...keys], ['c', 'd', 'e'])
})

test('an iterator ends with an error once its database is closed', (t) => {
  const db = volatile(t)
  const tree = db.tree()
  for (const letter of letters) tree.put(letter, '')
  const keys = tree.keys()
  t.is(keys.next().value, 'a')
  db.close()
  throwsCode(t, () => keys.next(), 'ERR_COPPICE_CLOSED')
  t.deepEqual(keys.next(), { value: undefined, done: true })
  throwsCode(t, () => tree.keys(), 'ERR_COPPICE_CLOSED')
})
