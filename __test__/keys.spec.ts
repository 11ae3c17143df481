import test from 'ava'
import { rejectsCode, throwsCode, volatile } from './support/database.js'

const awkward: Uint8Array[] = [
  [],
  [0],
  [0, 0],
  [0, 1],
  [0, 255],
  [1],
  [47],
  [47, 0],
  [97],
  [97, 0],
  [97, 0, 97],
  [97, 97],
  [127],
  [128],
  [195],
  [195, 169],
  [237, 160, 128],
  [239, 191, 189],
  [254],
  [255],
  [255, 0],
  [255, 255],
  [255, 255, 255],
].map((bytes) => Uint8Array.from(bytes))

test('any bytes are a key', (t) => {
  const tree = volatile(t).tree('bytes', { keys: 'buffer' })
  for (const key of [...awkward].reverse()) tree.put(key, Buffer.concat([key, Buffer.from('!')]))
  for (const key of awkward) {
    t.deepEqual(tree.get(key), Buffer.concat([key, Buffer.from('!')]))
    t.true(tree.has(key))
  }
  t.deepEqual([...tree.keys()], awkward.map(Buffer.from))
  t.is(tree.count(), awkward.length)
  t.is(tree.count(Uint8Array.of(255)), 4)
  for (const key of awkward) t.true(tree.delete(key))
  t.true(tree.isEmpty())
})

test('bytes and text of the same UTF-8 are one key', (t) => {
  const tree = volatile(t).tree()
  tree.put('é🌳\u0000', 'one')
  t.is(String(tree.get(Buffer.from('é🌳\u0000'))), 'one')
  tree.put(new TextEncoder().encode('plain'), 'two')
  t.is(String(tree.get('plain')), 'two')
  t.deepEqual([...tree.keys()], ['plain', 'é🌳\u0000'])
})

test('keys come in the order of their bytes, not of their UTF-16 units', (t) => {
  const tree = volatile(t).tree()
  for (const key of ['\u{1F333}', '\uFF5E', 'z', 'Z', '', 'é', '~']) tree.put(key, '')
  t.deepEqual([...tree.keys()], ['', 'Z', 'z', '~', 'é', '\uFF5E', '\u{1F333}'])
})

test('a key may be a view into a larger buffer', (t) => {
  const tree = volatile(t).tree()
  const memory = Buffer.from('--key--')
  tree.put(memory.subarray(2, 5), 'value')
  t.is(String(tree.get('key')), 'value')
})

test('a value that came back may be a key', (t) => {
  const tree = volatile(t).tree()
  tree.put('pointer', 'target')
  tree.put('target', 'found')
  t.is(String(tree.get(tree.get('pointer') as Buffer)), 'found')
})

test('a key is copied: changing it afterwards changes nothing', (t) => {
  const tree = volatile(t).tree()
  const key = Buffer.from('before')
  const value = Buffer.from('value')
  tree.put(key, value)
  key.fill('x')
  value.fill('x')
  t.is(String(tree.get('before')), 'value')
})

test('a key of 8192 bytes is the longest', (t) => {
  const tree = volatile(t).tree()
  for (const key of ['k'.repeat(8192), Buffer.alloc(8192, 0), 'é'.repeat(4096), `${'日'.repeat(2730)}xy`]) {
    tree.put(key, 'long')
    t.is(String(tree.get(key)), 'long')
    t.is(tree.count(key), 1)
    t.true(tree.delete(key))
  }
  for (const key of [
    'k'.repeat(8193),
    Buffer.alloc(8193),
    'é'.repeat(4097),
    `${'日'.repeat(2731)}`,
    'k'.repeat(100_000),
  ]) {
    for (const action of [
      () => tree.get(key),
      () => tree.has(key),
      () => tree.record(key),
      () => tree.longestPrefix(key),
      () => tree.put(key, 'x'),
      () => tree.putMany([[key, 'x']]),
      () => tree.delete(key),
      () => tree.count(key),
      () => tree.isEmpty(key),
      () => tree.keys({ gt: key }),
      () => tree.list({ prefix: key }),
    ]) {
      throwsCode(t, action, 'ERR_COPPICE_KEY_TOO_LARGE', /8192/)
    }
  }
  t.true(tree.isEmpty())
})

test('a lone surrogate is refused, wherever a key is taken', (t) => {
  const tree = volatile(t).tree()
  for (const key of ['\ud800', 'a\udc00', '\ud83c/\udf33', `${'x'.repeat(5000)}\ud800`]) {
    for (const action of [
      () => tree.get(key),
      () => tree.getMany([key]),
      () => tree.has(key),
      () => tree.record(key),
      () => tree.longestPrefix(key),
      () => tree.put(key, 'x'),
      () => tree.putMany([[key, 'x']]),
      () => tree.delete(key),
      () => tree.count(key),
      () => tree.isEmpty(key),
      () => tree.keys({ prefix: key }),
      () => tree.list({ after: key }),
    ]) {
      throwsCode(t, action, 'ERR_COPPICE_INVALID_ARGUMENT', /lone surrogate/)
    }
  }
  t.is(tree.count(), 0)
})

test('what is no key at all is refused, wherever a key is taken', (t) => {
  const tree = volatile(t).tree()
  for (const key of [undefined, null, 1, Number.NaN, 1n, {}, [1], new ArrayBuffer(1), new Uint16Array(1)] as never[]) {
    for (const action of [
      () => tree.get(key),
      () => tree.getMany([key]),
      () => tree.has(key),
      () => tree.record(key),
      () => tree.longestPrefix(key),
      () => tree.put(key, 'x'),
      () => tree.putMany([[key, 'x']]),
      () => tree.delete(key),
    ]) {
      throwsCode(t, action, 'ERR_COPPICE_INVALID_ARGUMENT', /must be a string or a Uint8Array/)
    }
  }
  t.is(tree.count(), 0)
})

test('U+FFFD itself is a character like any other', (t) => {
  const tree = volatile(t).tree()
  const key = 'a\uFFFDb'
  tree.put(key, 'v\uFFFD')
  t.is(String(tree.get(key)), 'v\uFFFD')
  t.true(tree.has(key))
  t.is(tree.record(key)?.value.toString(), 'v\uFFFD')
  t.is(tree.count(key), 1)
  t.false(tree.isEmpty(key))
  t.deepEqual([...tree.keys({ gte: key, prefix: 'a\uFFFD' })], [key])
  t.deepEqual(tree.list({ prefix: key }).keys, [key])
  tree.putMany([[`${key}2`, 'w\uFFFD']])
  t.is(String(tree.get(`${key}2`)), 'w\uFFFD')
  t.true(tree.delete(key))
})

test('what is neither text nor bytes is no key', (t) => {
  const tree = volatile(t).tree()
  const none = [
    undefined,
    null,
    1,
    1n,
    true,
    {},
    [],
    Symbol('s'),
    () => 'a',
    new Date(0),
    new ArrayBuffer(2),
    new DataView(new ArrayBuffer(2)),
    new Uint16Array(2),
    new Uint8ClampedArray(2),
  ]
  for (const key of none as never[]) {
    throwsCode(t, () => tree.get(key), 'ERR_COPPICE_INVALID_ARGUMENT', /^key must be a string or a Uint8Array, not /)
    throwsCode(t, () => tree.put(key, 'x'), 'ERR_COPPICE_INVALID_ARGUMENT')
    throwsCode(t, () => tree.delete(key), 'ERR_COPPICE_INVALID_ARGUMENT')
    throwsCode(t, () => tree.has(key), 'ERR_COPPICE_INVALID_ARGUMENT')
    throwsCode(t, () => tree.record(key), 'ERR_COPPICE_INVALID_ARGUMENT')
  }
  t.is(tree.count(), 0)
})

test('memory that another thread may change is refused', (t) => {
  const tree = volatile(t).tree()
  const shared = new Uint8Array(new SharedArrayBuffer(4))
  throwsCode(t, () => tree.get(shared), 'ERR_COPPICE_INVALID_ARGUMENT', /SharedArrayBuffer/)
  throwsCode(t, () => tree.put('k', shared), 'ERR_COPPICE_INVALID_ARGUMENT', /value.*SharedArrayBuffer/)
  throwsCode(t, () => tree.keys({ lt: shared }), 'ERR_COPPICE_INVALID_ARGUMENT', /lt.*SharedArrayBuffer/)
  t.is(tree.count(), 0)
})

test('memory that was transferred away is refused, and not taken for an empty key', (t) => {
  const tree = volatile(t).tree()
  tree.put('', 'the empty key')
  const detached = new Uint8Array([1, 2, 3])
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  throwsCode(t, () => tree.get(detached), 'ERR_COPPICE_INVALID_ARGUMENT', /transferred/)
  throwsCode(t, () => tree.put('k', detached), 'ERR_COPPICE_INVALID_ARGUMENT', /transferred/)
  throwsCode(t, () => tree.count(detached), 'ERR_COPPICE_INVALID_ARGUMENT', /transferred/)
})

/** Memory that can be resized, of 8 bytes. Of ES2024, which the types are not. */
function resizable(): ArrayBuffer & { resize(bytes: number): void } {
  return Reflect.construct(ArrayBuffer, [8, { maxByteLength: 16 }])
}

for (const [offset, length, left] of [
  [4, 4, 2],
  [4, undefined, 2],
  [0, 4, 2],
  [0, 4, 0],
] as const) {
  const what = `${length ?? 'all'} bytes from ${offset}`
  test(`a view of ${what} is refused when its memory has ${left}, and not taken for an empty one`, async (t) => {
    const db = volatile(t)
    const tree = db.tree()
    const memory = resizable()
    const view = new Uint8Array(memory, offset, length)
    tree.put('k', view)
    tree.put('', 'the empty key')
    memory.resize(left)
    const records = [...tree.records()]
    for (const use of [
      () => tree.get(view),
      () => tree.getMany([view]),
      () => tree.has(view),
      () => tree.record(view),
      () => tree.longestPrefix(view),
      () => tree.count(view),
      () => tree.isEmpty(view),
      () => tree.put(view, 'v'),
      () => tree.put('k', view),
      () => tree.put(view, 'v', { ifAbsent: true }),
      () => tree.putMany([[view, 'v']]),
      () => tree.putMany([['k', view]]),
      () => tree.delete(view),
      () => tree.rename(view, 'k'),
      () => tree.rename('k', view),
      () => tree.movePrefix(view, 'm'),
      () => tree.movePrefix('k', view),
      () => tree.clonePrefix(view, 'm'),
      () => tree.clonePrefix('k', view),
      () => tree.deletePrefix(view),
      () => tree.list({ prefix: view }),
      () => tree.list({ after: view }),
      () => tree.keys({ prefix: view }),
      () => tree.keys({ gt: view }),
      () => tree.watch({ prefix: view }),
      () => db.batch().put(tree, view, 'v'),
      () => db.batch().put(tree, 'k', view),
      () => db.batch().assertEmpty(tree, view),
      () => db.transact((tx) => tx.get(tree, view)),
      () => db.transact((tx) => tx.put(tree, 'k', view)),
      () => db.snapshot().tree().get(view),
    ]) {
      throwsCode(t, use, 'ERR_COPPICE_INVALID_ARGUMENT', /made smaller/)
    }
    for (const use of [
      () => tree.promises.get(view),
      () => tree.promises.getMany([view]),
      () => tree.promises.list({ prefix: view }),
      () => tree.promises.put('k', view),
      () => tree.promises.deletePrefix(view),
    ]) {
      t.regex((await rejectsCode(t, use, 'ERR_COPPICE_INVALID_ARGUMENT'))?.message ?? '', /made smaller/)
    }
    t.deepEqual([...tree.records()], records)
  })
}

test('views of no bytes are the empty key, whatever memory they are of', async (t) => {
  const tree = volatile(t).tree()
  const emptied = resizable()
  const views = [new Uint8Array(0), Buffer.alloc(0), Buffer.from('abc').subarray(1, 1), new Uint8Array(emptied)]
  emptied.resize(0)
  for (const [index, view] of views.entries()) {
    const value = Buffer.from([index])
    const version = tree.put(view, value)
    t.is(tree.put(view, view, { ifVersion: version }), version + 1)
    t.deepEqual([tree.get(view), await tree.promises.get(view)], [Buffer.alloc(0), Buffer.alloc(0)])
    tree.put(view, value)
    t.deepEqual([...tree.values({ prefix: view, gte: view })], [value])
    t.deepEqual(tree.list({ prefix: view }).keys, [''])
    t.deepEqual(tree.getMany([view]), [value])
    t.deepEqual(tree.longestPrefix(view)?.key, '')
    t.is(tree.count(view), 1)
    t.true(tree.rename(view, 'k'))
    t.is(tree.movePrefix('k', 'm'), 1)
    t.true(tree.rename('m', view))
    t.true(tree.delete(view))
    t.true(tree.isEmpty(view))
  }
})

test('memory that can be resized is read as it is', (t) => {
  const tree = volatile(t).tree()
  const Resizable = ArrayBuffer as unknown as new (
    length: number,
    options: { maxByteLength: number },
  ) => ArrayBuffer & { resize(length: number): void }
  const memory = new Resizable(3, { maxByteLength: 10 })
  const bytes = new Uint8Array(memory)
  bytes.set([97, 98, 99])
  tree.put(bytes, bytes)
  memory.resize(2)
  tree.put(bytes, bytes)
  memory.resize(0)
  t.deepEqual(
    [...tree.entries()],
    [
      ['ab', Buffer.from('ab')],
      ['abc', Buffer.from('abc')],
    ],
  )
})

test('a key that is not UTF-8 is refused where keys come back as text', (t) => {
  const db = volatile(t)
  const tree = db.tree()
  tree.put('a', '1')
  tree.put(Uint8Array.of(0x62, 0xff), '2')
  tree.put('c', '3')
  t.is(String(tree.get(Uint8Array.of(0x62, 0xff))), '2')
  const iterator = tree.keys()
  t.is(iterator.next().value, 'a')
  const refusal = /0x62ff.*keys: 'buffer'/
  throwsCode(t, () => iterator.next(), 'ERR_COPPICE_INVALID_ARGUMENT', refusal)
  throwsCode(t, () => tree.list(), 'ERR_COPPICE_INVALID_ARGUMENT', refusal)
  throwsCode(t, () => [...tree.entries({ prefix: 'b' })], 'ERR_COPPICE_INVALID_ARGUMENT', refusal)
  t.deepEqual([...tree.keys({ gte: 'c' })], ['c'])
})

test('with keys as Buffers such a key is one like any other', (t) => {
  const db = volatile(t)
  const tree = db.tree('', { keys: 'buffer' })
  const [a, b, c] = [Buffer.from('a'), Buffer.from([0x62, 0xff, 0x2f, 0xfe]), Buffer.from('c/é')]
  for (const key of [a, b, c]) tree.put(key, key)
  t.deepEqual([...tree.keys()], [a, b, c])
  t.deepEqual([...tree.entries({ prefix: Buffer.from([0x62, 0xff]) })], [[b, b]])
  t.deepEqual([...tree.values()], [a, b, c])
  t.deepEqual(tree.list({ delimiter: '/' }), {
    keys: [a],
    prefixes: [Buffer.from([0x62, 0xff, 0x2f]), Buffer.from('c/')],
  })
  t.deepEqual(tree.list({ values: true, limit: 1 }).values, [a])
  let token = tree.list({ delimiter: '/', limit: 2 }).next
  t.deepEqual(tree.list({ delimiter: '/', token: token as string }).prefixes, [Buffer.from('c/')])
  token = tree.list({ limit: 2 }).next
  t.deepEqual(tree.list({ token: token as string }).keys, [c])
})

test('an array whose elements call the database when they are read is read all the same', (t) => {
  const db = volatile(t)
  const tree = db.tree('t', { encoding: 'utf8' })
  tree.putMany([
    ['a', '1'],
    ['b', '2'],
  ])
  const keys = ['a', 'b', 'c']
  const get = () => {
    tree.put('c', String(tree.getMany(['a', 'b']).length))
    db.batch().put(tree, 'd', '4').commit()
    return tree.has('c') ? 'c' : 'absent'
  }
  Object.defineProperty(keys, 1, { get })
  t.deepEqual(tree.getMany(keys), ['1', '2', '2'])
  t.is(tree.get('d'), '4')
  const failing = ['a', 'b']
  Object.defineProperty(failing, 1, {
    get() {
      throw new RangeError('mine')
    },
  })
  t.throws(() => tree.getMany(failing), { instanceOf: RangeError, message: 'mine' })
  t.deepEqual(tree.getMany(['a']), ['1'])
})
