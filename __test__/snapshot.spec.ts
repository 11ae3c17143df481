import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { type Database, open, type Reader } from 'coppice'
import { stored, temporaryFolder, throwsCode, volatile } from './support/database.js'

const KEYS = 3000

function fill(db: Database): void {
  const entries = Array.from({ length: KEYS }, (_, n): [string, string] => [`dir${n % 30}/file${n}`, `value ${n}`])
  db.tree('t').putMany(entries)
  db.tree('t').put('large', Buffer.alloc(100_000, 7))
}

/** Everything that a reader answers, in one value to compare. */
function all(tree: Reader<Buffer>): unknown {
  const records = [...tree.records()].map(({ key, value, version }) => [key, value.toString('latin1'), version])
  const keys = [...tree.keys()]
  const { prefixes } = tree.list({ delimiter: '/' })
  return {
    records,
    keys,
    values: [...tree.values({ reverse: true })].length,
    entries: [...tree.entries({ prefix: 'dir1/' })].map(([key, value]) => [key, String(value)]),
    gets: keys.map((key) => String(tree.get(key)).length),
    many: tree.getMany(['large', 'dir3/file3', 'none']).map((value) => value?.length),
    has: [tree.has('dir1/file1'), tree.has('none')],
    record: tree.record('dir1/file1')?.version,
    longest: tree.longestPrefix('dir1/file1/below')?.key,
    prefixes,
    counts: [tree.count(), tree.count('dir1/'), tree.isEmpty('dir2/'), tree.isEmpty('x')],
  }
}

function changeEverything(db: Database): void {
  const tree = db.tree('t')
  for (const key of [...tree.keys({ prefix: 'dir1' })]) tree.put(key, 'changed')
  tree.movePrefix('dir2/', 'moved/')
  tree.clonePrefix('dir3/', 'cloned/')
  tree.put('cloned/file1', 'changed')
  tree.deletePrefix('dir3/')
  tree.delete('large')
  db.batch().put(tree, 'new', 'one').delete(tree, 'dir4/file4').commit()
  db.tree('later').put('a', 'b')
}

for (const kind of ['a folder', 'memory']) {
  test(`a snapshot of a database in ${kind} shows what was there`, async (t) => {
    const db = kind === 'memory' ? volatile(t) : await stored(t)
    fill(db)
    for (const checkpointed of [false, true]) {
      if (checkpointed) await db.checkpoint()
      const expected = all(db.tree('t'))
      const version = db.tree('t').put('last', 'x')
      db.tree('t').delete('last')
      using snapshot = db.snapshot()
      t.is(snapshot.version, version + 1)
      changeEverything(db)
      t.deepEqual(all(snapshot.tree('t')), expected)
      await db.checkpoint()
      t.true(db.stats().snapshots.pinnedBlobs > 0)
      db.dropTree('t')
      fill(db)
      await db.checkpoint()
      t.deepEqual(all(snapshot.tree('t')), expected)
    }
    t.deepEqual(db.stats().snapshots, { open: 0, pinnedBlobs: 0 })
    t.true((await db.verify()).ok)
  })
}

test('iterators and listings of several pages see one state', async (t) => {
  const db = await stored(t)
  fill(db)
  using snapshot = db.snapshot()
  const tree = snapshot.tree('t', { encoding: 'utf8' })
  const expected = [...tree.keys()]
  const seen: string[] = []
  for (const key of tree.keys()) {
    if (seen.length % 500 === 0) {
      db.tree('t').deletePrefix(`dir${seen.length / 500}/`)
      await db.checkpoint()
    }
    seen.push(key)
  }
  t.deepEqual(seen, expected)
  const listed: string[] = []
  let token: string | undefined
  do {
    const page = tree.list({ limit: 400, values: true, ...(token === undefined ? {} : { token }) })
    db.tree('t').put(`between${listed.length}`, 'x')
    t.is(page.values?.length, page.keys.length)
    listed.push(...page.keys)
    token = page.next
  } while (token !== undefined)
  t.deepEqual(listed, expected)
})

test('encodings and keys are as those of trees', (t) => {
  const db = volatile(t)
  db.tree('j', { encoding: 'json' }).put('a', { b: 1 })
  db.tree('b', { keys: 'buffer' }).put(Buffer.from([0xff, 0]), 'v')
  using snapshot = db.snapshot()
  db.dropTree('j')
  t.deepEqual(snapshot.tree('j', { encoding: 'json' }).get('a'), { b: 1 })
  t.is(snapshot.tree('j', { encoding: 'utf8' }).get('a'), '{"b":1}')
  t.deepEqual([...snapshot.tree('b', { keys: 'buffer' }).keys()], [Buffer.from([0xff, 0])])
  throwsCode(t, () => [...snapshot.tree('b').keys()], 'ERR_COPPICE_INVALID_ARGUMENT')
  const upper = {
    name: 'upper',
    encode: (text: string) => text,
    decode: (bytes: Buffer) => String(bytes).toUpperCase(),
  }
  t.deepEqual([...snapshot.tree('b', { encoding: upper, keys: 'buffer' }).values()], ['V'])
  t.is(snapshot.tree('j'), snapshot.tree('j'))
  throwsCode(t, () => snapshot.tree('j', { keys: 'x' } as never), 'ERR_COPPICE_INVALID_ARGUMENT', /keys/)
})

test('a tree that was not there reads as empty, and is not made', (t) => {
  const db = volatile(t)
  using snapshot = db.snapshot()
  const tree = snapshot.tree('nothing')
  t.deepEqual([tree.count(), tree.get('a'), [...tree.keys()], tree.isEmpty()], [0, undefined, [], true])
  t.deepEqual(db.trees(), [])
})

test('readers of a snapshot do not write', (t) => {
  const db = volatile(t)
  db.tree('t').put('a', 'b')
  using snapshot = db.snapshot()
  const tree = snapshot.tree('t') as never
  t.false('put' in tree)
  throwsCode(t, () => db.batch().put(tree, 'a', 'c'), 'ERR_COPPICE_INVALID_ARGUMENT')
})

test('a closed snapshot answers nothing, and its database goes on', (t) => {
  const db = volatile(t)
  fill(db)
  const snapshot = db.snapshot()
  const other = db.snapshot()
  const tree = snapshot.tree('t')
  const keys = tree.keys()
  t.false(keys.next().done)
  t.is(db.stats().snapshots.open, 2)
  snapshot.close()
  snapshot.close()
  for (const action of [
    () => tree.get('large'),
    () => tree.count(),
    () => tree.getMany(['a']),
    () => tree.list(),
    () => keys.next(),
    () => snapshot.tree('t'),
  ])
    throwsCode(t, action, 'ERR_COPPICE_CLOSED', /snapshot/)
  t.is(other.tree('t').count(), KEYS + 1)
  t.is(db.tree('t').count(), KEYS + 1)
  t.is(db.stats().snapshots.open, 1)
  db.close()
  throwsCode(t, () => other.tree('t'), 'ERR_COPPICE_CLOSED')
  throwsCode(t, () => db.snapshot(), 'ERR_COPPICE_CLOSED')
  other.close()
})

test('a snapshot goes with the handle that it was taken by', async (t) => {
  const folder = path.join(await temporaryFolder(t), 'db')
  using first = open(folder)
  const second = open(folder)
  fill(first)
  const tree = second.snapshot().tree('t')
  t.is(first.stats().snapshots.open, 1)
  second.close()
  t.is(first.stats().snapshots.open, 0)
  throwsCode(t, () => tree.get('large'), 'ERR_COPPICE_CLOSED', /'.*' is closed/)
})

test('a snapshot that is forgotten is released, and one of which an iterator is left is not', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const db = volatile(t)
  fill(db)
  const openAfterCollection = async (expected: number) => {
    for (let round = 0; round < 50 && db.stats().snapshots.open !== expected; round++) {
      collect()
      await pause(20)
    }
    return db.stats().snapshots.open
  }
  let keys: IterableIterator<string> | undefined
  ;(() => {
    for (let n = 0; n < 5; n++) db.snapshot().tree('t').count()
    keys = db.snapshot().tree('t').keys()
    keys.next()
  })()
  t.is(db.stats().snapshots.open, 6)
  t.is(await openAfterCollection(1), 1)
  t.is([...(keys ?? [])].length, KEYS)
  keys = undefined
  t.is(await openAfterCollection(0), 0)
})

test('snapshots of a worker go with it', async (t) => {
  const folder = path.join(await temporaryFolder(t), 'db')
  using db = open(folder)
  fill(db)
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { open } = require(workerData.library)
    const db = open(workerData.folder)
    const snapshots = [db.snapshot(), db.snapshot()]
    parentPort.postMessage(snapshots.map((snapshot) => snapshot.tree('t').count()))
    setInterval(() => snapshots, 1000)`
  const library = path.resolve(import.meta.dirname, '../dist/index.cjs')
  const worker = new Worker(code, { eval: true, workerData: { folder, library } })
  const counts = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  t.deepEqual(counts, [KEYS + 1, KEYS + 1])
  t.is(db.stats().snapshots.open, 2)
  await worker.terminate()
  t.is(db.stats().snapshots.open, 0)
})
