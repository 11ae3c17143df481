import { createRequire } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import type { Codec } from 'coppice'
import { throwsCode, volatile } from './support/database.js'

const MIB = 1024 * 1024

test('without an encoding, bytes and text go in and Buffers come back', (t) => {
  const tree = volatile(t).tree()
  tree.put('text', 'é\u0000🌳')
  tree.put('bytes', Uint8Array.of(0, 255, 128))
  tree.put('empty', '')
  t.deepEqual(tree.get('text'), Buffer.from('é\u0000🌳'))
  t.deepEqual(tree.get('bytes'), Buffer.from([0, 255, 128]))
  t.deepEqual(tree.get('empty'), Buffer.alloc(0))
  t.true(Buffer.isBuffer(tree.get('empty')))
})

test('values of every size come back as they were', (t) => {
  const tree = volatile(t).tree()
  const text = volatile(t).tree('text', { encoding: 'utf8' })
  for (const size of [0, 1, 4090, 4091, 4092, 4095, 4096, 4097, 8192, 16_383, 16_385, 65_535, 65_536, 65_537, MIB]) {
    const bytes = Buffer.alloc(size)
    for (let index = 0; index < size; index++) bytes[index] = index % 251
    tree.put('k', bytes)
    t.true(tree.get('k')?.equals(bytes), `${size} bytes`)
    t.true(tree.record('k')?.value.equals(bytes), `${size} bytes`)
    const words = '日'.repeat(size / 3) + 'x'.repeat(size % 3)
    text.put('k', words)
    t.true(text.get('k') === words, `${size} bytes of text`)
  }
})

test('a value of 16 MiB is the largest', (t) => {
  const tree = volatile(t).tree()
  tree.put('bytes', Buffer.alloc(16 * MIB, 7))
  tree.put('text', 'x'.repeat(16 * MIB))
  t.is(tree.get('bytes')?.length, 16 * MIB)
  t.is(tree.record('text')?.value.length, 16 * MIB)
  t.deepEqual(
    [...tree.values()].map((value) => value.length),
    [16 * MIB, 16 * MIB],
  )
  const before = tree.count()
  const tooLarge = [Buffer.alloc(16 * MIB + 1), 'x'.repeat(16 * MIB + 1), `${'é'.repeat(8 * MIB)}x`]
  for (const value of tooLarge) {
    throwsCode(t, () => tree.put('k', value), 'ERR_COPPICE_VALUE_TOO_LARGE', /16777217 bytes/)
    throwsCode(t, () => tree.put('k', value, { ifAbsent: true }), 'ERR_COPPICE_VALUE_TOO_LARGE')
    throwsCode(t, () => tree.putMany([['k', value]]), 'ERR_COPPICE_VALUE_TOO_LARGE', /entries\[0\]/)
  }
  t.is(tree.count(), before)
})

test('what is neither bytes nor text is no value', (t) => {
  const tree = volatile(t).tree()
  for (const value of [undefined, null, 1, {}, [1], new Uint16Array(1), new ArrayBuffer(1), true] as never[]) {
    throwsCode(t, () => tree.put('k', value), 'ERR_COPPICE_INVALID_ARGUMENT', /^value must be .*, not /)
  }
  throwsCode(t, () => tree.put('k', '\ud800'), 'ERR_COPPICE_INVALID_ARGUMENT', /value.*lone surrogate/)
  t.is(tree.count(), 0)
})

test('Buffers that came back stay as they are, whatever is read after them', (t) => {
  const tree = volatile(t).tree()
  const read: Buffer[] = []
  for (let index = 0; index < 5000; index++) {
    tree.put('k', `value ${index}`)
    read.push(tree.get('k') as Buffer)
  }
  t.true(read.every((value, index) => String(value) === `value ${index}`))
})

test('Buffers that came back are the caller’s to change', (t) => {
  const tree = volatile(t).tree()
  tree.put('k', 'value')
  tree.get('k')?.fill(0)
  t.is(String(tree.get('k')), 'value')
})

test('a Buffer that came back can be sent to another thread, but its memory not taken away', (t) => {
  const tree = volatile(t).tree()
  tree.put('k', 'value')
  const first = tree.get('k') as Buffer
  t.deepEqual(structuredClone(first), Uint8Array.from(Buffer.from('value')))
  try {
    structuredClone(first, { transfer: [first.buffer as ArrayBuffer] })
  } catch (error) {
    t.is((error as Error).name, 'DataCloneError')
  }
  t.is(String(first), 'value')
  t.is(String(tree.get('k')), 'value')
})

test('memory of values that was taken away all the same is not written to any more', (t) => {
  const tree = volatile(t).tree()
  tree.put('k', 'value')
  const first = tree.get('k') as Buffer
  // As `ArrayBuffer.prototype.transfer` does where there is one.
  setFlagsFromString('--allow-natives-syntax')
  new Function('memory', '%ArrayBufferDetach(memory)')(first.buffer)
  t.is(first.length, 0)
  t.is(String(tree.get('k')), 'value')
  t.is(String(tree.get('k')), 'value')
})

test('two copies of the package over one addon read into memory of their own', (t) => {
  const require = createRequire(import.meta.url)
  const path = require.resolve('coppice')
  const trees = ['first', 'second'].map((name) => {
    delete require.cache[path]
    const db = (require(path) as typeof import('coppice')).open(':memory:')
    t.teardown(() => db.close())
    const tree = db.tree()
    tree.put('k', name)
    return tree
  })
  for (let round = 0; round < 2; round++) {
    const values = trees.map((tree) => tree.get('k'))
    t.deepEqual(values.map(String), ['first', 'second'])
  }
})

test('utf8: text in, text out', (t) => {
  const db = volatile(t)
  const tree = db.tree('t', { encoding: 'utf8' })
  tree.put('k', 'é\u0000🌳')
  t.is(tree.get('k'), 'é\u0000🌳')
  t.deepEqual(db.tree('t').get('k'), Buffer.from('é\u0000🌳'))
  t.deepEqual([...tree.entries()], [['k', 'é\u0000🌳']])
  throwsCode(t, () => tree.put('k', Buffer.from('a') as never), 'ERR_COPPICE_INVALID_ARGUMENT', /'utf8'.*Buffer/)
  throwsCode(t, () => tree.put('k', 1 as never), 'ERR_COPPICE_INVALID_ARGUMENT')
})

test('json: whatever JSON can say', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'json' })
  for (const value of [null, true, 0, -1.5, '', 'é\ud800', [], [1, [2]], {}, { a: { b: null } }]) {
    tree.put('k', value)
    t.deepEqual(tree.get('k'), value)
  }
  for (const value of [undefined, () => 1, Symbol('s')]) {
    throwsCode(t, () => tree.put('k', value), 'ERR_COPPICE_INVALID_ARGUMENT', /no JSON form/)
  }
})

test('json: what JSON itself throws is thrown as it is', (t) => {
  const db = volatile(t)
  const tree = db.tree('t', { encoding: 'json' })
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  t.throws(() => tree.put('k', cycle), { instanceOf: TypeError })
  t.throws(() => tree.put('k', 1n), { instanceOf: TypeError })
  t.is(tree.count(), 0)
  db.tree('t').put('k', 'no json')
  t.throws(() => tree.get('k'), { instanceOf: SyntaxError })
})

const dates: Codec<Date> = {
  name: 'date',
  encode: (date) => date.toISOString(),
  decode: (bytes) => new Date(bytes.toString()),
}

test('a codec: values of any type', (t) => {
  const tree = volatile(t).tree('t', { encoding: dates })
  const date = new Date('2024-02-29T12:00:00Z')
  const version = tree.put('k', date)
  t.deepEqual(tree.get('k'), date)
  t.deepEqual(tree.getMany(['k', 'none']), [date, undefined])
  t.deepEqual(tree.record('k'), { value: date, version })
  t.deepEqual([...tree.values()], [date])
  t.deepEqual(tree.list({ values: true }).values, [date])
  tree.putMany([['l', date]])
  t.deepEqual(tree.get('l'), date)
})

test('what a codec throws is thrown as it is, and nothing is written', (t) => {
  const broken = new RangeError('no such value')
  const fail = () => {
    throw broken
  }
  const db = volatile(t)
  const codec: Codec<number> = { name: 'broken', encode: fail, decode: fail }
  const encodes = db.tree('t', { encoding: codec })
  t.is(
    t.throws(() => encodes.put('k', 1)),
    broken,
  )
  t.is(db.tree('t').count(), 0)
  db.tree('t').put('k', 'v')
  for (const read of [() => encodes.get('k'), () => [...encodes.values()], () => encodes.list({ values: true })]) {
    t.is(t.throws(read), broken)
  }
  t.deepEqual([...encodes.keys()], ['k'])
})

test('a codec that encodes to neither bytes nor text is named', (t) => {
  const codec = { name: 'mine', encode: () => 7, decode: () => 7 } as unknown as Codec<number>
  const tree = volatile(t).tree('t', { encoding: codec })
  throwsCode(t, () => tree.put('k', 1), 'ERR_COPPICE_INVALID_ARGUMENT', /'mine'.*7/)
})

test('bytes of another realm are bytes', (t) => {
  const db = volatile(t)
  const foreign = runInNewContext('new Uint8Array([97])') as Uint8Array
  const codec: Codec<null> = { name: 'foreign', encode: () => foreign, decode: () => null }
  db.tree('t', { encoding: codec }).put(foreign, null)
  db.tree('t').putMany(new Map([[foreign, foreign]]))
  t.deepEqual(db.tree('t').get('a'), Buffer.from('a'))
  t.deepEqual([...db.tree('t').keys({ gte: foreign })], ['a'])
})

test('a codec may use the tree that it decodes for', (t) => {
  const db = volatile(t)
  const plain = db.tree('t')
  const linked: Codec<string> = {
    name: 'linked',
    encode: (text) => text,
    decode(bytes) {
      const text = bytes.toString()
      return text.startsWith('@') ? `${text}=${plain.get(text.slice(1))}:${bytes.toString()}` : text
    },
  }
  const tree = db.tree('t', { encoding: linked })
  plain.putMany([
    ['a', '@b'],
    ['b', '1'],
    ['c', '@a'],
  ])
  t.is(tree.get('a'), '@b=1:@b')
  t.deepEqual([...tree.values()], ['@b=1:@b', '1', '@a=@b:@a'])
  t.deepEqual(tree.list({ values: true }).values, ['@b=1:@b', '1', '@a=@b:@a'])
})

test('a codec that keeps the bytes it was given keeps what they were', (t) => {
  const raw: Codec<Buffer> = { name: 'raw', encode: (bytes) => bytes, decode: (bytes) => bytes }
  const tree = volatile(t).tree('t', { encoding: raw })
  tree.putMany(Array.from({ length: 3000 }, (_, index) => [`k${index}`, Buffer.from(`v${index}`)]))
  const kept = Array.from({ length: 3000 }, (_, index) => tree.get(`k${index}`))
  t.true(kept.every((value, index) => String(value) === `v${index}`))
})
