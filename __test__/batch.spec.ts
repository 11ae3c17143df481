import test from 'ava'
import { type Batch, type BatchResult, type Codec, type Database, open, type Tree } from 'coppice'
import { rejectsCode, temporaryFolder, throwsCode, volatile } from './support/database.js'

type TextTree = Tree<string>

function texts(db: Database, name = 't'): TextTree {
  return db.tree(name, { encoding: 'utf8' })
}

/** A database with a tree of some text records, and their versions. */
function filled(t: Parameters<typeof volatile>[0]): { db: Database; tree: TextTree; version: number } {
  const db = volatile(t)
  const tree = texts(db)
  tree.put('dir/file', 'f')
  return { db, tree, version: tree.put('there', 'old') }
}

function versionOf(result: BatchResult): number {
  if (!result.committed) throw new Error(`call ${result.failed} did not hold`)
  return result.version
}

test('a batch changes several trees at once, under one version', (t) => {
  const { db, tree, version } = filled(t)
  const json = db.tree<{ n: number }>('json', { encoding: 'json' })
  const bytes = db.tree('bytes')
  const batch = db
    .batch()
    .put(tree, 'a', '1')
    .put(json, Buffer.from('b'), { n: 2 })
    .put(bytes, 'c', Buffer.from([3]))
    .put(bytes, '\uFFFD', 'text')
    .delete(tree, 'there')
    .rename(tree, 'dir/file', 'file')
  t.false(tree.has('a'), 'nothing happens before the commit')
  const result = batch.commit()
  t.deepEqual(result, { committed: true, version: version + 3 })
  t.deepEqual(
    [...tree.records()],
    [
      { key: 'a', value: '1', version: versionOf(result) },
      { key: 'file', value: 'f', version: versionOf(result) },
    ],
  )
  t.deepEqual(json.record('b'), { value: { n: 2 }, version: versionOf(result) })
  t.deepEqual(bytes.get('c'), Buffer.from([3]))
  t.is(String(bytes.get('\uFFFD')), 'text')
})

const guards: [string, (batch: Batch, tree: TextTree, version: number) => Batch][] = [
  ['put ifVersion of another version', (b, tree, version) => b.put(tree, 'there', 'x', { ifVersion: version + 1 })],
  ['put ifVersion of an absent key', (b, tree, version) => b.put(tree, 'absent', 'x', { ifVersion: version })],
  ['put ifAbsent of a key that is there', (b, tree) => b.put(tree, 'there', 'x', { ifAbsent: true })],
  ['delete ifVersion of another version', (b, tree, version) => b.delete(tree, 'there', { ifVersion: version - 1 })],
  ['delete ifVersion of an absent key', (b, tree, version) => b.delete(tree, 'absent', { ifVersion: version })],
  ['delete ifAbsent of a key that is there', (b, tree) => b.delete(tree, 'there', { ifAbsent: true })],
  ['rename of an absent key', (b, tree) => b.rename(tree, 'absent', 'x', { overwrite: true })],
  ['rename onto a key that is there', (b, tree) => b.rename(tree, 'there', 'dir/file')],
  ['rename onto itself', (b, tree) => b.rename(tree, 'there', 'there')],
  ['assertVersion of another version', (b, tree, version) => b.assertVersion(tree, 'there', version + 1)],
  ['assertVersion of an absent key', (b, tree, version) => b.assertVersion(tree, 'absent', version)],
  ['assertAbsent of a key that is there', (b, tree) => b.assertAbsent(tree, 'there')],
  ['assertEmpty of a prefix with a key', (b, tree) => b.assertEmpty(tree, 'dir/')],
  ['assertEmpty of a tree with a key', (b, tree) => b.assertEmpty(tree, '')],
]

for (const [name, refused] of guards) {
  test(`${name} fails the batch`, (t) => {
    const { db, tree, version } = filled(t)
    const before = [...tree.records()]
    const other = texts(db, 'other')
    t.deepEqual(refused(db.batch(), tree, version).commit(), { committed: false, failed: 0 })
    const batch = refused(db.batch().put(other, 'a', '1').put(tree, 'new', 'x'), tree, version).put(other, 'b', '2')
    t.deepEqual(batch.commit(), { committed: false, failed: 2 })
    t.deepEqual([...tree.records()], before)
    t.true(other.isEmpty())
  })
}

test('conditions that hold', (t) => {
  const { db, tree, version } = filled(t)
  const result = db
    .batch()
    .assertVersion(tree, 'there', version)
    .assertAbsent(tree, 'absent')
    .assertEmpty(tree, 'none/')
    .put(tree, 'there', '1', { ifVersion: version })
    .put(tree, 'new', '2', { ifAbsent: true })
    .put(tree, 'free', '3', {})
    .delete(tree, 'absent')
    .delete(tree, 'absent', { ifAbsent: true })
    .delete(tree, 'free', { ifAbsent: false })
    .rename(tree, 'dir/file', 'there', { overwrite: true })
    .commit()
  t.deepEqual(result, { committed: true, version: version + 1 })
  t.deepEqual(
    [...tree.entries()],
    [
      ['new', '2'],
      ['there', 'f'],
    ],
  )
})

test('each call sees those before it', (t) => {
  const { db, tree } = filled(t)
  const result = db
    .batch()
    .put(tree, 'a', '1')
    .rename(tree, 'a', 'b')
    .assertAbsent(tree, 'a')
    .put(tree, 'a', '2', { ifAbsent: true })
    .delete(tree, 'dir/file')
    .assertEmpty(tree, 'dir/')
    .rename(tree, 'b', 'c')
    .put(tree, 'c', '3')
    .delete(tree, 'a')
    .commit()
  t.true(result.committed)
  t.deepEqual(
    [...tree.entries()],
    [
      ['c', '3'],
      ['there', 'old'],
    ],
  )
  t.deepEqual(db.batch().put(tree, 'x', '').assertAbsent(tree, 'x').commit(), { committed: false, failed: 1 })
})

test('a batch that changes nothing reports the last commit', (t) => {
  const { db, tree, version } = filled(t)
  t.deepEqual(db.batch().commit(), { committed: true, version })
  t.deepEqual(db.batch().delete(tree, 'absent').assertVersion(tree, 'there', version).commit(), {
    committed: true,
    version,
  })
  t.is(tree.put('next', ''), version + 1)
})

test('a batch copies what it is given', (t) => {
  const db = volatile(t)
  const tree = db.tree()
  const key = Buffer.from('a')
  const value = Buffer.from('1')
  const batch = db.batch()
  for (const letter of 'abc') {
    key.write(letter)
    value.write(letter.toUpperCase())
    batch.put(tree, key, value)
  }
  key.write('x')
  value.write('x')
  batch.commit()
  t.deepEqual([...tree.entries()].map(String), ['a,A', 'b,B', 'c,C'])
})

test('a batch of many and of large values', (t) => {
  const db = volatile(t)
  const tree = db.tree()
  const batch = db.batch()
  for (let index = 0; index < 5000; index++) batch.put(tree, `k/${index}`, `value of ${index}`)
  const large = Buffer.alloc(5 * 1024 * 1024, 1)
  batch.put(tree, 'bytes', large).put(tree, 'text', 'é'.repeat(100_000)).put(tree, 'é'.repeat(4096), 'longest key')
  t.true(batch.commit().committed)
  t.is(tree.count('k/'), 5000)
  t.is(String(tree.get('k/4999')), 'value of 4999')
  t.true(tree.get('bytes')?.equals(large))
  t.is(String(tree.get('text')), 'é'.repeat(100_000))
  t.is(String(tree.get('é'.repeat(4096))), 'longest key')
})

test('what cannot be part of a batch is refused by name, and leaves the batch as it was', (t) => {
  const { db, tree } = filled(t)
  const bytes = db.tree('bytes')
  const batch = db.batch().put(tree, 'kept', '1')
  const long = 'k'.repeat(8193)
  const shared = new Uint8Array(new SharedArrayBuffer(4))
  const detached = new Uint8Array(4)
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  const INVALID = 'ERR_COPPICE_INVALID_ARGUMENT'
  const bad: [() => unknown, Parameters<typeof throwsCode>[2], RegExp][] = [
    [() => batch.put(tree, long, ''), 'ERR_COPPICE_KEY_TOO_LARGE', /^operation 1: key "kkk.*8193 bytes/],
    [() => batch.put(tree, 'é'.repeat(4097), ''), 'ERR_COPPICE_KEY_TOO_LARGE', /8194 bytes/],
    [() => batch.delete(tree, Buffer.from(long)), 'ERR_COPPICE_KEY_TOO_LARGE', /8193 bytes/],
    [() => batch.rename(tree, 'a', long), 'ERR_COPPICE_KEY_TOO_LARGE', /^operation 1: to "kkk/],
    [() => batch.rename(tree, long, 'a'), 'ERR_COPPICE_KEY_TOO_LARGE', /^operation 1: from "kkk/],
    [() => batch.assertEmpty(tree, long), 'ERR_COPPICE_KEY_TOO_LARGE', /8193 bytes/],
    [
      () => batch.put(bytes, 'big', Buffer.alloc(16 * 1024 * 1024 + 1)),
      'ERR_COPPICE_VALUE_TOO_LARGE',
      /^operation 1: the value of "big" has 16777217 bytes/,
    ],
    [() => batch.put(bytes, 'big', 'é'.repeat(8 * 1024 * 1024 + 1)), 'ERR_COPPICE_VALUE_TOO_LARGE', /"big"/],
    [() => batch.put(tree, '\ud800', ''), INVALID, /^operation 1: key .*lone surrogate/],
    [() => batch.put(bytes, 'k', '\ud800'), INVALID, /the value of "k".*lone surrogate/],
    [() => batch.put(tree, 'k', 7 as never), INVALID, /7/],
    [() => batch.put(bytes, 'k', null as never), INVALID, /the value of "k".*null/],
    [() => batch.put(bytes, 'k', new Proxy(Buffer.from('v'), {})), INVALID, /the value of "k"/],
    [() => batch.put(bytes, new Proxy(Buffer.from('v'), {}), ''), INVALID, /key/],
    [() => batch.put(bytes, 'k', shared), INVALID, /SharedArrayBuffer/],
    [() => batch.put(bytes, shared, 'v'), INVALID, /SharedArrayBuffer/],
    [() => batch.put(bytes, 'k', detached), INVALID, /transferred/],
    [() => batch.put(bytes, detached, 'v'), INVALID, /transferred/],
    [() => batch.delete(tree, undefined as never), INVALID, /key.*undefined/],
    [() => batch.delete(tree, {} as never), INVALID, /key.*an object/],
    [() => batch.put(tree, 'k', '', { ifVersion: 1, ifAbsent: true }), INVALID, /both/],
    [() => batch.delete(tree, 'k', { ifVersion: -1 }), INVALID, /ifVersion/],
    [() => batch.rename(tree, 'k', 'l', { overwrite: 1 as never }), INVALID, /overwrite/],
    [() => batch.rename(tree, 'k', 'l', { force: true } as never), INVALID, /'force'/],
    [() => batch.assertVersion(tree, 'k', undefined as never), INVALID, /version.*undefined/],
    [() => batch.assertVersion(tree, 'k', 1.5), INVALID, /version.*1\.5/],
    [() => batch.put(undefined as never, 'k', ''), INVALID, /^operation 1: tree .*undefined/],
    [() => batch.put('t' as never, 'k', ''), INVALID, /tree .*"t"/],
    [() => batch.put({ ...tree } as never, 'k', ''), INVALID, /tree /],
    [() => batch.put(new Proxy(tree, {}), 'k', ''), INVALID, /tree /],
  ]
  for (const [action, code, message] of bad) throwsCode(t, action, code, message)
  t.true(batch.put(tree, 'kept too', '2').commit().committed)
  t.deepEqual([...tree.keys()], ['dir/file', 'kept', 'kept too', 'there'])
  t.true(bytes.isEmpty())
})

test('bytes that lie about their length are taken for what they are', (t) => {
  const db = volatile(t)
  const tree = db.tree()
  const liar = Object.defineProperty(Buffer.from('value'), 'length', { value: 100_000 })
  db.batch().put(tree, 'k', liar).put(tree, 'l', 'next').commit()
  t.is(String(tree.get('k')), 'value')
  t.is(String(tree.get('l')), 'next')
})

test('a tree of another handle is refused, whatever database that is on', async (t) => {
  const folder = await temporaryFolder(t)
  using db = open(folder)
  using same = open(folder)
  const elsewhere = volatile(t)
  for (const tree of [same.tree(), elsewhere.tree()]) {
    throwsCode(t, () => db.batch().put(tree, 'k', ''), 'ERR_COPPICE_INVALID_ARGUMENT', /operation 0: .*another handle/)
  }
  t.true(db.tree().isEmpty())
})

test('a batch over 64 MiB is refused at the call that makes it so', (t) => {
  const db = volatile(t)
  const tree = db.tree()
  const value = Buffer.alloc(16 * 1024 * 1024)
  const batch = db.batch()
  for (const key of ['a', 'b', 'c']) batch.put(tree, key, value)
  const left = 64 * 1024 * 1024 - 3 * (24 + 1 + value.length) - 24 - 1
  const tooLarge = 'ERR_COPPICE_BATCH_TOO_LARGE'
  throwsCode(t, () => batch.put(tree, 'd', value.subarray(0, left + 1)), tooLarge, /operation 3 .*67108865 bytes/)
  batch.put(tree, 'd', value.subarray(0, left))
  throwsCode(t, () => batch.delete(tree, ''), tooLarge, /operation 4 /)
  t.true(batch.commit().committed)
  t.deepEqual([...tree.keys()], ['a', 'b', 'c', 'd'])
})

test('a batch is used once', async (t) => {
  const { db, tree, version } = filled(t)
  const used = [db.batch(), db.batch().assertAbsent(tree, 'there'), db.batch().put(tree, 'durable', '')]
  used[0]?.commit()
  used[1]?.commit()
  await used[2]?.commitDurable()
  for (const batch of used) {
    const calls = [
      () => batch.put(tree, 'k', ''),
      () => batch.delete(tree, 'k'),
      () => batch.rename(tree, 'k', 'l'),
      () => batch.assertVersion(tree, 'k', version),
      () => batch.assertAbsent(tree, 'k'),
      () => batch.assertEmpty(tree, ''),
      () => batch.commit(),
    ]
    for (const call of calls) throwsCode(t, call, 'ERR_COPPICE_CLOSED', /committed already/)
    await rejectsCode(t, () => batch.commitDurable(), 'ERR_COPPICE_CLOSED')
  }
})

test('a codec may use the batch that it encodes for', (t) => {
  const db = volatile(t)
  const batch = db.batch()
  const inner = db.tree('inner')
  const outer: Codec<string> = {
    name: 'outer',
    encode(value) {
      batch.put(inner, value, value)
      return value
    },
    decode: String,
  }
  const tree = db.tree('outer', { encoding: outer })
  t.true(batch.put(tree, 'a', '1').put(tree, 'b', '2').commit().committed)
  t.deepEqual([...tree.entries()].map(String), ['a,1', 'b,2'])
  t.deepEqual([...inner.keys()], ['1', '2'])
  const closing = db.batch()
  const ending: Codec<string> = {
    name: 'ending',
    encode(value) {
      closing.commit()
      return value
    },
    decode: String,
  }
  throwsCode(t, () => closing.put(db.tree('outer', { encoding: ending }), 'k', 'v'), 'ERR_COPPICE_CLOSED')
})

test('batches of a closed database', async (t) => {
  const db = open(':memory:')
  const tree = db.tree()
  const batch = db.batch().put(tree, 'k', '')
  const durable = db.batch().put(tree, 'k', '')
  db.close()
  throwsCode(t, () => batch.put(tree, 'k', ''), 'ERR_COPPICE_CLOSED')
  throwsCode(t, () => batch.commit(), 'ERR_COPPICE_CLOSED')
  await rejectsCode(t, () => durable.commitDurable(), 'ERR_COPPICE_CLOSED')
  throwsCode(t, () => db.batch(), 'ERR_COPPICE_CLOSED')
})

for (const durability of ['process', 'disk', 'none'] as const) {
  test(`commitDurable is visible at once and resolves where durability is '${durability}'`, async (t) => {
    const folder = await temporaryFolder(t)
    using db = open(folder, { durability })
    const tree = texts(db)
    const before = db.stats().journal.syncs
    const promise = db.batch().put(tree, 'a', '1').put(tree, 'b', '2').commitDurable()
    t.is(tree.get('b'), '2')
    const result = await promise
    t.is(tree.record('a')?.version, versionOf(result))
    const synced = db.stats().journal.syncs > before
    t.is(synced, durability !== 'none')
    t.deepEqual(await db.batch().assertAbsent(tree, 'a').commitDurable(), { committed: false, failed: 0 })
  })
}

test('batches are there after a reopen, whole', async (t) => {
  const folder = await temporaryFolder(t)
  {
    using db = open(folder)
    const tree = texts(db)
    tree.put('moves', 'm')
    db.batch().put(tree, 'a', '1').put(texts(db, 'u'), 'b', '2').rename(tree, 'moves', 'moved').commit()
    db.batch().put(tree, 'undone', '').assertAbsent(tree, 'a').commit()
  }
  using db = open(folder)
  t.deepEqual(
    [...texts(db).entries()],
    [
      ['a', '1'],
      ['moved', 'm'],
    ],
  )
  t.is(texts(db, 'u').get('b'), '2')
})

test('rename moves a record and gives it a new version', (t) => {
  const { tree, version } = filled(t)
  t.true(tree.rename('there', 'moved'))
  t.deepEqual(tree.record('moved'), { value: 'old', version: version + 1 })
  t.false(tree.has('there'))
  t.false(tree.rename('there', 'x'))
  t.false(tree.rename('moved', 'dir/file'))
  t.is(tree.get('dir/file'), 'f')
  t.true(tree.rename('moved', 'dir/file', { overwrite: true }))
  t.deepEqual([...tree.entries()], [['dir/file', 'old']])
})

test('rename of odd keys and of large values', (t) => {
  const tree = volatile(t).tree()
  const large = Buffer.alloc(1024 * 1024, 5)
  tree.put('', large)
  t.true(tree.rename('', Buffer.from([0, 255, 0])))
  t.true(tree.rename(Buffer.from([0, 255, 0]), '\uFFFD'))
  t.true(tree.rename('\uFFFD', 'x'.repeat(8192)))
  t.true(tree.get('x'.repeat(8192))?.equals(large))
  t.is(tree.count(), 1)
})

test('rename from a key to itself', (t) => {
  const { tree, version } = filled(t)
  t.false(tree.rename('there', 'there'))
  t.false(tree.rename('absent', 'absent', { overwrite: true }))
  t.is(tree.record('there')?.version, version)
  t.true(tree.rename('there', 'there', { overwrite: true }))
  t.deepEqual(tree.record('there'), { value: 'old', version: version + 1 })
})

test('renames that cannot be are refused', (t) => {
  const { tree } = filled(t)
  const long = 'k'.repeat(8193)
  throwsCode(t, () => tree.rename(long, 'a'), 'ERR_COPPICE_KEY_TOO_LARGE', /^from /)
  throwsCode(t, () => tree.rename('there', long), 'ERR_COPPICE_KEY_TOO_LARGE', /^to /)
  throwsCode(t, () => tree.rename('there', '\ud800'), 'ERR_COPPICE_INVALID_ARGUMENT', /^to .*lone surrogate/)
  throwsCode(t, () => tree.rename(1 as never, 'a'), 'ERR_COPPICE_INVALID_ARGUMENT', /^from .*1/)
  throwsCode(t, () => tree.rename('there', 'a', true as never), 'ERR_COPPICE_INVALID_ARGUMENT', /rename options/)
  t.is(tree.get('there'), 'old')
})
