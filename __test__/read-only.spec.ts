import { chmod, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { type Database, open, openAsync } from 'coppice'
import { coppice } from './support/command.js'
import { copyDatabase, digests, rejectsCode, temporaryFolder, throwsCode } from './support/database.js'

const KEYS = 2000
const NOBODY = 65534

/** A folder as a process leaves it that died: the blob store has some, the journal has the rest. */
async function crashed(t: ExecutionContext): Promise<string> {
  const folder = await temporaryFolder(t)
  const db = open(path.join(folder, 'live'))
  const tree = db.tree('t')
  const fill = (from: number) => {
    for (let n = from; n < from + KEYS / 2; n++) tree.put(`dir${n % 30}/file${n}`, `value ${n}`)
  }
  fill(0)
  await db.checkpoint()
  fill(KEYS / 2)
  tree.put('large', Buffer.alloc(100_000, 7))
  await db.flush()
  const copy = path.join(folder, 'db')
  await copyDatabase(path.join(folder, 'live'), copy)
  db.close()
  return copy
}

test('a database that is only read shows everything, and no file changes', async (t) => {
  const folder = await crashed(t)
  const before = await digests(folder)
  for (const db of [open(folder, { readOnly: true }), await openAsync(folder, { readOnly: true, create: true })]) {
    t.is(db.tree('t').count(), KEYS + 1)
    t.is(String(db.tree('t').get('dir1/file1')), 'value 1')
    t.is(db.tree('t').get('large')?.length, 100_000)
    t.is([...db.tree('t').keys()].length, KEYS + 1)
    t.is(db.tree('t').list({ delimiter: '/' }).prefixes.length, 30)
    t.is((await db.verify()).keys, KEYS + 1)
    using snapshot = db.snapshot()
    t.is(snapshot.tree('t').count(), KEYS + 1)
    await db.promises.close()
  }
  t.deepEqual(await digests(folder), before)
  using db = open(folder)
  t.is(db.tree('t').count(), KEYS + 1)
})

test('what is read stays within the bound on memory', async (t) => {
  const folder = path.join(await temporaryFolder(t), 'db')
  const writer = open(folder)
  const keys = Array.from({ length: 12_000 }, (_, n) => `dir${n % 30}/file${n}`)
  writer.tree().putMany(keys.map((key) => [key, key.repeat(80)] as const))
  // Longer than all that may be read in.
  writer.tree().put('long', Buffer.alloc(10 << 20, 7))
  writer.close()
  using db = open(folder, { readOnly: true, memory: '4MiB' })
  const tree = db.tree('', { encoding: 'utf8' })
  t.is(db.tree().get('long')?.length, 10 << 20)
  t.deepEqual(
    keys.filter((key) => tree.get(key) !== key.repeat(80)),
    [],
  )
  t.deepEqual(
    await Promise.all(keys.slice(0, 3000).map((key) => tree.promises.get(key))),
    tree.getMany(keys.slice(0, 3000)),
  )
  const { budget, used, evictions } = db.stats().memory
  t.is(budget, 4 << 20)
  t.true(used <= budget && evictions > 0, `${used} bytes, ${evictions} evictions`)
})

test('every method that writes is refused', async (t) => {
  using db = open(await crashed(t), { readOnly: true })
  const tree = db.tree('t')
  for (const write of [
    () => tree.put('a', 'b'),
    () => tree.put('a', 'b', { ifAbsent: true }),
    () => tree.putMany([['a', 'b']]),
    () => tree.delete('large'),
    () => tree.rename('large', 'small'),
    () => tree.movePrefix('dir1/', 'x/'),
    () => tree.clonePrefix('dir1/', 'x/'),
    () => tree.deletePrefix('dir1/'),
    () => db.dropTree('t'),
    () => db.batch().put(tree, 'a', 'b').commit(),
    () => db.transact((tx) => tx.put(tree, 'a', 'b')),
    () => db.tree('none').put('a', 'b'),
  ])
    throwsCode(t, write, 'ERR_COPPICE_READ_ONLY', /read-only/)
  for (const write of [
    () => tree.promises.put('a', 'b'),
    () => tree.promises.deletePrefix(''),
    () => db.batch().put(tree, 'a', 'b').commitDurable(),
    () => db.flush(),
    () => db.checkpoint(),
  ])
    await rejectsCode(t, write, 'ERR_COPPICE_READ_ONLY')
  t.is(db.tree('none').count(), 0)
  t.deepEqual([db.tree('none').get('a'), db.trees()], [undefined, ['t']])
  t.is(tree.count(), KEYS + 1)
})

test('readers share, and never with a writer', async (t) => {
  const folder = await crashed(t)
  const first = open(folder, { readOnly: true })
  const second = open(folder, { readOnly: true })
  throwsCode(t, () => open(folder), 'ERR_COPPICE_LOCKED', /only read by this process/)
  const outside = await coppice(['index', path.dirname(folder), folder])
  t.is(outside.code, 4)
  t.regex(outside.stderr, /open read-only elsewhere/)
  t.is((await coppice(['count', folder])).code, 0)
  first.close()
  t.is(second.tree('t').count(), KEYS + 1)
  second.close()
  using writer = open(folder)
  throwsCode(t, () => open(folder, { readOnly: true }), 'ERR_COPPICE_LOCKED', /written to by this process/)
  t.is((await coppice(['count', folder])).code, 4)
  writer.tree('t').put('a', 'b')
})

test('workers share what is only read', async (t) => {
  const folder = await crashed(t)
  using db = open(folder, { readOnly: true })
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { open } = require(workerData.library)
    const db = open(workerData.folder, { readOnly: true })
    parentPort.postMessage(db.tree('t').count())`
  const library = path.resolve(import.meta.dirname, '../dist/index.cjs')
  const worker = new Worker(code, { eval: true, workerData: { folder, library } })
  t.is(await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject)), KEYS + 1)
  await worker.terminate()
  t.is(db.tree('t').count(), KEYS + 1)
})

test('nothing is made where there is no database', async (t) => {
  const folder = await temporaryFolder(t)
  throwsCode(t, () => open(path.join(folder, 'none'), { readOnly: true }), 'ERR_COPPICE_NOT_FOUND')
  throwsCode(t, () => open(folder, { readOnly: true }), 'ERR_COPPICE_NOT_FOUND')
  t.deepEqual(await readdir(folder), [])
  throwsCode(t, () => open(':memory:', { readOnly: true }), 'ERR_COPPICE_INVALID_ARGUMENT', /readOnly/)
  throwsCode(t, () => open(folder, { readOnly: 1 as never }), 'ERR_COPPICE_INVALID_ARGUMENT', /readOnly/)
})

test('a database that is only read can be backed up', async (t) => {
  const folder = await crashed(t)
  {
    using db: Database = open(folder, { readOnly: true })
    await db.backup(`${folder}-copy`)
  }
  using copy = open(`${folder}-copy`)
  t.is(copy.tree('t').count(), KEYS + 1)
})

// Root may write anywhere; another user may not even be able to reach the test's folder.
const onUnix = process.platform === 'win32' ? test.skip : test
onUnix('a folder that may not be written to is read, with its lock file and without', async (t) => {
  const folder = await crashed(t)
  const before = await digests(folder)
  const asNobody = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  for (const name of await readdir(folder)) await chmod(path.join(folder, name), 0o444)
  await chmod(path.dirname(folder), 0o755)
  for (const withLock of [true, false]) {
    if (!withLock) await rm(path.join(folder, 'LOCK'))
    await chmod(folder, 0o555)
    for (const command of ['count', 'stats', 'verify', 'ls']) {
      const { code, stderr } = await coppice([command, folder], asNobody)
      t.deepEqual({ code, stderr }, { code: 0, stderr: '' }, command)
    }
    await chmod(folder, 0o755)
  }
  delete before['LOCK']
  t.deepEqual(await digests(folder), before)
})
