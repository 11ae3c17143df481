import test from 'ava'
import type { Codec, Key } from 'coppice'
import { throwsCode, volatile } from './support/database.js'

test('get, has and record of an absent key', (t) => {
  const tree = volatile(t).tree()
  t.is(tree.get('a'), undefined)
  t.false(tree.has('a'))
  t.is(tree.record('a'), undefined)
  t.false(tree.delete('a'))
  t.deepEqual(tree.getMany(['a', 'b']), [undefined, undefined])
})

test('put stores, replaces and returns growing versions', (t) => {
  const db = volatile(t)
  const tree = db.tree('t', { encoding: 'utf8' })
  const first = tree.put('a', '1')
  const second = tree.put('b', '2')
  const third = tree.put('a', '3')
  const other = db.tree('other').put('a', '4')
  t.true(Number.isSafeInteger(first) && first < second && second < third && third < other)
  t.is(tree.get('a'), '3')
  t.deepEqual(tree.record('a'), { value: '3', version: third })
  t.is(tree.count(), 2)
})

test('put where the version holds', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  const first = tree.put('a', '1')
  const second = tree.put('a', '2', { ifVersion: first })
  t.is(tree.get('a'), '2')
  t.is(tree.record('a')?.version, second)
  t.is(tree.put('a', '3', { ifVersion: first }), undefined)
  t.is(tree.put('absent', '3', { ifVersion: first }), undefined)
  t.is(tree.get('a'), '2')
  t.false(tree.has('absent'))
})

test('put where the key is absent', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  const version = tree.put('a', '1', { ifAbsent: true })
  t.is(typeof version, 'number')
  t.is(tree.put('a', '2', { ifAbsent: true }), undefined)
  t.is(tree.get('a'), '1')
  t.is(typeof tree.put('a', '2', { ifAbsent: false }), 'number')
  t.is(typeof tree.put('a', '3', {}), 'number')
  t.is(tree.get('a'), '3')
})

test('a condition on a key that is doubted at first holds all the same', (t) => {
  const tree = volatile(t).tree()
  const version = tree.put('\uFFFD', '1', { ifAbsent: true })
  t.is(typeof version, 'number')
  t.is(tree.put('\uFFFD', '2', { ifAbsent: true }), undefined)
  t.true(tree.delete('\uFFFD', { ifVersion: version as number }))
})

test('delete where a condition holds', (t) => {
  const tree = volatile(t).tree()
  const version = tree.put('a', '1')
  t.false(tree.delete('a', { ifVersion: version + 1 }))
  t.false(tree.delete('a', { ifAbsent: true }))
  t.true(tree.has('a'))
  t.true(tree.delete('a', { ifVersion: version }))
  t.false(tree.has('a'))
})

test('a version is never used again, not for a key that was deleted either', (t) => {
  const tree = volatile(t).tree()
  const version = tree.put('a', '1')
  tree.delete('a')
  t.true(tree.put('a', '1') > version)
})

test('conditions that cannot be are refused', (t) => {
  const tree = volatile(t).tree()
  tree.put('a', '1')
  const bad: [object, RegExp][] = [
    [{ ifVersion: 1, ifAbsent: true }, /both/],
    [{ ifVersion: -1 }, /ifVersion.*-1/],
    [{ ifVersion: 1.5 }, /ifVersion.*1\.5/],
    [{ ifVersion: '1' }, /ifVersion.*"1"/],
    [{ ifVersion: 2 ** 53 }, /ifVersion/],
    [{ ifAbsent: 1 }, /ifAbsent.*1/],
    [{ ifPresent: true }, /'ifPresent'/],
    [[], /an array/],
  ]
  for (const [condition, message] of bad) {
    throwsCode(t, () => tree.put('a', '2', condition), 'ERR_COPPICE_INVALID_ARGUMENT', message)
    throwsCode(t, () => tree.delete('a', condition), 'ERR_COPPICE_INVALID_ARGUMENT', message)
  }
  throwsCode(t, () => tree.put('a', '2', null as never), 'ERR_COPPICE_INVALID_ARGUMENT')
  t.is(String(tree.get('a')), '1')
})

/**
 * A value over a quarter of a slab gets memory of just its own length, so that nothing has room behind it, not even a value
 * of no bytes: `getMany` asked again and again for the same memory.
 */
test('getMany finds an empty value behind a large one of any length', (t) => {
  const tree = volatile(t).tree()
  tree.put('empty', '')
  for (const length of [16_385, 65_536, 65_537, 65_543]) {
    tree.put('large', Buffer.alloc(length, 7))
    const found = tree.getMany(['large', 'empty', 'large', 'none', 'empty'])
    t.deepEqual(
      found.map((value) => value?.length),
      [length, 0, length, undefined, 0],
    )
  }
})

test('getMany keeps the order of the keys', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  tree.put('a', '1')
  tree.put('b', '2')
  t.deepEqual(tree.getMany(['b', 'none', 'a', Buffer.from('b')]), ['2', undefined, '1', '2'])
  t.deepEqual(tree.getMany([]), [])
  throwsCode(t, () => tree.getMany('ab' as never), 'ERR_COPPICE_INVALID_ARGUMENT', /keys must be an array/)
  throwsCode(t, () => tree.getMany(['a', 1 as never]), 'ERR_COPPICE_INVALID_ARGUMENT', /keys\[1\] must/)
  throwsCode(t, () => tree.getMany(new Array(1)), 'ERR_COPPICE_INVALID_ARGUMENT', /keys\[0\] must/)
})

test('getMany of thousands, with values of any size', (t) => {
  const tree = volatile(t).tree()
  const sizes = Array.from({ length: 6000 }, (_, index) => (index % 997 === 0 ? 70_000 : (index * 31) % 90))
  tree.putMany(sizes.map((size, index) => [`k${index}`, Buffer.alloc(size, index)]))
  const wanted = sizes.map((_, index) => (index * 1237) % 6000)
  const values = tree.getMany(wanted.flatMap((index) => [`k${index}`, `none${index}`]))
  t.is(values.length, 12_000)
  wanted.forEach((index, at) => {
    t.true(values[2 * at]?.equals(Buffer.alloc(sizes[index] as number, index)) && values[2 * at + 1] === undefined)
  })
})

test('getMany with a codec that reads by getMany itself', (t) => {
  const db = volatile(t)
  const inner = db.tree('inner', { encoding: 'utf8' })
  inner.put('a', '1')
  inner.put('b', '2')
  const decode = (bytes: Buffer) => inner.getMany([String(bytes), 'none', 'b']).join()
  const outer = db.tree('outer', { encoding: { name: 'through', encode: (text: string) => text, decode } })
  outer.putMany([
    ['x', 'a'],
    ['y', 'b'],
    ['z', 'c'],
  ])
  t.deepEqual(outer.getMany(['z', 'x', 'none', 'y']), [',,2', '1,,2', undefined, '2,,2'])
})

test('longestPrefix finds the rule that holds for a path', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  t.is(tree.longestPrefix('a'), undefined)
  const version = tree.put('/home/', 'home')
  tree.put('/home/user/docs/', 'docs')
  tree.put('/home/user/docs/a', 'a')
  t.deepEqual(tree.longestPrefix('/home/user/music/x'), { key: '/home/', value: 'home', version })
  t.is(tree.longestPrefix('/home/user/docs/b')?.key, '/home/user/docs/')
  t.is(tree.longestPrefix('/home/user/docs/ab')?.key, '/home/user/docs/a')
  t.is(tree.longestPrefix('/home/user/docs/a')?.key, '/home/user/docs/a')
  t.is(tree.longestPrefix(Buffer.from('/home'))?.key, undefined)
  tree.put('', 'root')
  t.is(tree.longestPrefix('/home')?.value, 'root')
  t.is(tree.longestPrefix('')?.key, '')
  throwsCode(t, () => tree.longestPrefix(7 as never), 'ERR_COPPICE_INVALID_ARGUMENT', /key must/)
})

test('longestPrefix sees no other tree', (t) => {
  const db = volatile(t)
  db.tree('one').put('', 'x')
  t.is(db.tree('two').longestPrefix('abc'), undefined)
})

test('longestPrefix cuts no character: keys that are no text need keys as bytes', (t) => {
  const db = volatile(t)
  const bytes = db.tree('t', { keys: 'buffer' })
  bytes.put(Buffer.from([0xc3]), Buffer.alloc(100_000, 1))
  const found = bytes.longestPrefix('\u00e9')
  t.deepEqual(found?.key, Buffer.from([0xc3]))
  t.deepEqual(found?.value, Buffer.alloc(100_000, 1))
  throwsCode(t, () => db.tree('t').longestPrefix('\u00e9'), 'ERR_COPPICE_INVALID_ARGUMENT', /0xc3 is not valid UTF-8/)
})

test('putMany takes arrays, Maps and generators', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  tree.putMany([
    ['a', '1'],
    ['a', '2'],
    ['b', '3'],
  ])
  tree.putMany(new Map([['c', '4']]))
  tree.putMany(
    (function* (): Generator<[Key, string]> {
      yield [Buffer.from('d'), '5']
    })(),
  )
  tree.putMany([])
  t.deepEqual(
    [...tree.entries()],
    [
      ['a', '2'],
      ['b', '3'],
      ['c', '4'],
      ['d', '5'],
    ],
  )
})

test('putMany of more than one call’s worth', (t) => {
  const tree = volatile(t).tree()
  tree.putMany(Array.from({ length: 10_000 }, (_, index) => [`k${index}`, `v${index}`]))
  t.is(tree.count(), 10_000)
  t.is(String(tree.get('k9999')), 'v9999')
  const large = Buffer.alloc(3 * 1024 * 1024, 1)
  tree.putMany(['x', 'y', 'z'].map((key) => [key, large]))
  t.true(tree.get('z')?.equals(large))
})

test('putMany of an iterable that uses its buffers again', (t) => {
  const tree = volatile(t).tree()
  const key = Buffer.alloc(1)
  const value = Buffer.alloc(1)
  tree.putMany(
    (function* (): Generator<[Buffer, Buffer]> {
      for (const letter of 'abc') {
        key.write(letter)
        value.write(letter)
        yield [key, value]
      }
    })(),
  )
  t.deepEqual([...tree.entries()].map(String), ['a,a', 'b,b', 'c,c'])
})

test('putMany through a codec that uses its buffer again', (t) => {
  const scratch = Buffer.alloc(8)
  const encoding: Codec<number> = {
    name: 'double',
    encode(value) {
      scratch.writeDoubleLE(value)
      return scratch
    },
    decode: (bytes) => bytes.readDoubleLE(),
  }
  const tree = volatile(t).tree('t', { encoding })
  tree.putMany([
    ['a', 1],
    ['b', 2],
    ['c', 3],
  ])
  t.deepEqual([...tree.values()], [1, 2, 3])
})

test('putMany of bytes that cannot be copied is refused, from any iterable', (t) => {
  const tree = volatile(t).tree()
  const detached = new Uint8Array(4)
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  for (const bytes of [detached, new Uint8Array(new SharedArrayBuffer(4))]) {
    for (const entries of [[['k', bytes]], [[bytes, 'v']]] as [Key, Uint8Array | string][][]) {
      throwsCode(t, () => tree.putMany(entries), 'ERR_COPPICE_INVALID_ARGUMENT', /ArrayBuffer/)
      throwsCode(t, () => tree.putMany(entries.values()), 'ERR_COPPICE_INVALID_ARGUMENT', /ArrayBuffer/)
    }
  }
  t.is(tree.count(), 0)
})

test('putMany may read the tree that it writes to', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  tree.put('a', '1')
  tree.putMany(
    (function* (): Generator<[string, string]> {
      for (const [key, value] of tree.entries()) yield [`copy/${key}`, value]
    })(),
  )
  t.is(tree.get('copy/a'), '1')
})

test('putMany refuses what are no entries, and names them', (t) => {
  const tree = volatile(t).tree()
  const bad: [unknown, RegExp][] = [
    [undefined, /iterable.*undefined/],
    [null, /iterable.*null/],
    [{ a: 1 }, /iterable/],
    ['ab', /iterable/],
    [['ab'], /entries\[0\].*pair/],
    [[['a', '1'], ['b']], /entries\[1\].*pair/],
    [[['a', '1', '2']], /entries\[0\].*pair/],
    [
      [
        ['a', '1'],
        ['b', 2],
      ],
      /entries\[1\]\[1\].*2/,
    ],
    [
      [
        ['a', '1'],
        [2, '2'],
      ],
      /entries\[1\]\[0\].*2/,
    ],
    [[['\ud800', '1']], /entries\[0\]\[0\].*lone surrogate/],
  ]
  for (const [entries, message] of bad) {
    throwsCode(t, () => tree.putMany(entries as never), 'ERR_COPPICE_INVALID_ARGUMENT', message)
  }
  t.is(tree.count(), 0)
})

test('count and isEmpty of a prefix', (t) => {
  const tree = volatile(t).tree()
  for (const key of ['', 'a', 'a/1', 'a/2', 'b']) tree.put(key, '')
  t.is(tree.count(), 5)
  t.is(tree.count(''), 5)
  t.is(tree.count('a'), 3)
  t.is(tree.count('a/'), 2)
  t.is(tree.count(Buffer.from('a/1')), 1)
  t.is(tree.count('c'), 0)
  t.false(tree.isEmpty())
  t.false(tree.isEmpty('a/'))
  t.true(tree.isEmpty('c'))
  t.true(tree.isEmpty('a/1/'))
  throwsCode(t, () => tree.count(null as never), 'ERR_COPPICE_INVALID_ARGUMENT', /prefix.*null/)
  throwsCode(t, () => tree.isEmpty(7 as never), 'ERR_COPPICE_INVALID_ARGUMENT', /prefix.*7/)
})

test('counts follow every write', (t) => {
  const tree = volatile(t).tree()
  const keys = Array.from({ length: 3000 }, (_, index) => `d${index % 10}/f${index}`)
  for (const key of keys) tree.put(key, key)
  for (const key of keys) tree.put(key, 'again')
  for (const key of keys.slice(0, 1000)) tree.delete(key)
  for (const key of keys.slice(0, 10)) tree.delete(key)
  t.is(tree.count(), 2000)
  for (let folder = 0; folder < 10; folder++) t.is(tree.count(`d${folder}/`), 200)
})
