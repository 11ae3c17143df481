import { isDeepStrictEqual } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { Bytes, CoppiceErrorCode, Key, Tree } from 'coppice'
import { throwsCode, volatile } from './support/database.js'

const ASTRAL = '\u{1F333}'
/** Text of every width, bytes that are no text, and keys that are equal in other words. */
const KEYS: readonly Key[] = [
  'plain',
  '',
  'é/日本',
  ASTRAL,
  `a${ASTRAL}`,
  Buffer.from('é/日本'),
  new Uint8Array([0xff, 0x00, 0xfe]),
  new Uint8Array(0),
  'nul\0inside',
  'a\uFFFDb',
  'plain',
  'k'.repeat(8192),
  '日'.repeat(2730),
  Buffer.alloc(8192, 0xee),
  'is not there',
  new Uint8Array(new ArrayBuffer(16), 3, 5),
]

const putOf = (key: Key, at: number): [Key, Bytes] => [
  key,
  at % 2 === 0 ? `value ${at} é${ASTRAL}` : Buffer.alloc(at, at),
]
const stored = KEYS.filter((key) => key !== 'is not there')

function entriesOf(tree: Tree<Buffer, Bytes, Buffer>): [string, string][] {
  return [...tree.entries()].map(([key, value]) => [key.toString('hex'), value.toString('hex')])
}

function bytesTree(t: ExecutionContext): Tree<Buffer, Bytes, Buffer> {
  return volatile(t).tree('t', { keys: 'buffer' })
}

test('putMany puts what as many puts do', (t) => {
  const [one, many, each] = [bytesTree(t), bytesTree(t), bytesTree(t)]
  const entries = stored.map(putOf)
  for (const [key, value] of entries) one.put(key, value)
  many.putMany(entries)
  for (const entry of entries) each.putMany([entry])
  t.is(entriesOf(one).length, new Set(stored.map((key) => Buffer.from(key).toString('hex'))).size)
  t.deepEqual(entriesOf(many), entriesOf(one))
  t.deepEqual(entriesOf(each), entriesOf(one))
})

test('getMany finds what as many gets do', (t) => {
  const tree = bytesTree(t)
  tree.putMany(stored.map(putOf))
  const keys = Array.from({ length: 2000 }, (_, at) => KEYS[(at * 7) % KEYS.length] as Key)
  const expected = keys.map((key) => tree.get(key))
  t.true(expected.includes(undefined))
  t.true(isDeepStrictEqual(tree.getMany(keys), expected))
  for (const key of KEYS) t.true(isDeepStrictEqual(tree.getMany([key]), [tree.get(key)]))
  const text = keys.filter((key) => typeof key === 'string')
  const textExpected = text.map((key) => tree.get(key))
  t.true(isDeepStrictEqual(tree.getMany(text), textExpected))
})

test('halves of a surrogate pair in two keys, or a key and a value, make no character', (t) => {
  const tree = volatile(t).tree()
  for (const [high, low] of ['\ud83c', '\udf33'].map((half, at, halves) => [half, halves[1 - at] as string] as const)) {
    throwsCode(t, () => tree.getMany(['a', high, low]), 'ERR_COPPICE_INVALID_ARGUMENT', /^keys\[1\] .*lone surrogate/)
    const entries: [string, string][] = [
      ['a', 'x'],
      [high, low],
    ]
    throwsCode(t, () => tree.putMany(entries), 'ERR_COPPICE_INVALID_ARGUMENT', /^entries\[1\]\[0\] .*lone surrogate/)
    entries[1] = ['b', high]
    throwsCode(t, () => tree.putMany(entries), 'ERR_COPPICE_INVALID_ARGUMENT', /^entries\[1\]\[1\] .*lone surrogate/)
  }
  t.is(tree.count(), 0)
})

test('a key in the middle that is none is named, and nothing in front of it was put', (t) => {
  const tree = volatile(t).tree()
  const wrong: [unknown, CoppiceErrorCode, RegExp][] = [
    ['k'.repeat(8193), 'ERR_COPPICE_KEY_TOO_LARGE', /8192/],
    ['é'.repeat(4097), 'ERR_COPPICE_KEY_TOO_LARGE', /8194 bytes/],
    [Buffer.alloc(8193), 'ERR_COPPICE_KEY_TOO_LARGE', /8193 bytes/],
    [7, 'ERR_COPPICE_INVALID_ARGUMENT', /must be a string or a Uint8Array/],
    [new Uint8Array(new SharedArrayBuffer(4)), 'ERR_COPPICE_INVALID_ARGUMENT', /SharedArrayBuffer/],
  ]
  for (const [key, code, message] of wrong) {
    const keys = ['a', Buffer.from('b'), 'é', key as Key, 'c']
    throwsCode(t, () => tree.getMany(keys), code, new RegExp(`^keys\\[3\\] .*${message.source}`))
    const entries = keys.map((each): [Key, string] => [each, 'x'])
    throwsCode(t, () => tree.putMany(entries), code, new RegExp(`^entries\\[3\\]\\[0\\] .*${message.source}`))
  }
  t.is(tree.count(), 0)
})

test('values that are too large, or no values, are named', (t) => {
  const tree = volatile(t).tree()
  const entries = (value: unknown): [string, Buffer][] => [
    ['a', Buffer.from('x')],
    ['b', value as Buffer],
  ]
  for (const value of [Buffer.alloc(16 * 1024 * 1024 + 1), 'v'.repeat(16 * 1024 * 1024 + 1)]) {
    throwsCode(t, () => tree.putMany(entries(value)), 'ERR_COPPICE_VALUE_TOO_LARGE', /^entries\[1\]\[1\] /)
  }
  throwsCode(t, () => tree.putMany(entries(undefined)), 'ERR_COPPICE_INVALID_ARGUMENT', /^entries\[1\]\[1\] must/)
  t.is(tree.count(), 0)
  tree.putMany([
    ['text', 'é'.repeat(100_000)],
    ['short', `${ASTRAL}é`],
    ['bytes', Buffer.alloc(3_000_000, 5)],
    ['empty', ''],
  ])
  t.is(String(tree.get('text')), 'é'.repeat(100_000))
  t.is(String(tree.get('short')), `${ASTRAL}é`)
  t.true(tree.get('bytes')?.equals(Buffer.alloc(3_000_000, 5)))
  t.is(tree.get('empty')?.length, 0)
})

test('each key of an array is read once, also where reading it changes the others or puts many', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  tree.putMany(['a', 'b', 'c', 'd'].map((key) => [key, key.toUpperCase()]))
  const keys = ['a', 'b', 'c', 'é']
  let reads = 0
  Object.defineProperty(keys, 1, {
    get() {
      reads += 1
      keys[2] = 'd'
      keys.length = 3
      tree.putMany([['e', tree.getMany(['d', 'none', 'a']).join()]])
      return 'e'
    },
  })
  throwsCode(t, () => tree.getMany(new Array(2)), 'ERR_COPPICE_INVALID_ARGUMENT', /^keys\[0\] must/)
  throwsCode(t, () => tree.getMany(keys), 'ERR_COPPICE_INVALID_ARGUMENT', /^keys\[3\] must/)
  t.deepEqual(tree.getMany(keys), ['A', 'D,,A', 'D'])
  t.is(reads, 2)
  const proxy = new Proxy(['b', 'é', 'c'], {})
  t.deepEqual(tree.getMany(proxy), ['B', undefined, 'C'])
})

test('a value is what it was when its entry was read', (t) => {
  const tree = volatile(t).tree()
  const bytes = Buffer.from('first')
  const entries: [string, Buffer][] = [['a', bytes]]
  Object.defineProperty(entries, 1, { get: () => [bytes.fill('x').toString('latin1', 0, 1), bytes], enumerable: true })
  tree.putMany(entries)
  t.deepEqual(
    [...tree.entries()].map(([key, value]) => [key, String(value)]),
    [
      ['a', 'first'],
      ['x', 'xxxxx'],
    ],
  )
})
