// Promises of reads of a database many times larger than the memory that it may use.

import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { CoppiceError, type Database, open } from 'coppice'
import { run } from './support/command.js'
import { rejectsCode, temporaryFolder } from './support/database.js'

const coldReader = fileURLToPath(new URL('./fixtures/cold-reader.mjs', import.meta.url))

const KEYS = 40_000
const options = { memory: '4MiB', checkpoint: { journalBytes: '8MiB' } } as const

function key(n: number): string {
  return `folder-${n % 50}/object-${n}`
}

function value(n: number): Buffer {
  // Some lie in extents of their own.
  const bytes = Buffer.alloc(n % 1000 === 3 ? 20_000 : 1000)
  bytes.writeUInt32LE(n)
  return bytes
}

/** So many keys, of frames all over the database. */
function spread(count: number): number[] {
  return Array.from({ length: count }, (_, index) => (index * 7919) % KEYS)
}

const parent = mkdtemp(path.join(tmpdir(), 'coppice-'))
const made = parent.then((folder) => make(path.join(folder, 'made')))

test.after.always(async () => rm(await parent, { recursive: true, force: true, maxRetries: 10 }))

function make(folder: string): string {
  using db = open(folder, options)
  db.tree().putMany(Array.from({ length: KEYS }, (_, n) => [key(n), value(n)] as const).sort())
  return folder
}

/** A database of its own with none of it in memory. */
async function filled(t: ExecutionContext): Promise<{ db: Database; folder: string }> {
  const folder = path.join(await temporaryFolder(t), 'db')
  await cp(await made, folder, { recursive: true })
  const db = open(folder, options)
  t.teardown(() => db.close())
  return { db, folder }
}

/** Which blobs were read from disk while something was done: all, and by threads of the engine's. */
async function readFor(db: Database, action: () => unknown): Promise<{ all: number; byThreads: number }> {
  const before = db.stats().memory
  await action()
  const after = db.stats().memory
  const byThreads = after.fetches + after.readAheads - before.fetches - before.readAheads
  return { all: after.misses - before.misses, byThreads }
}

test.serial('what is not in memory is read by threads of the engine, and the event loop is idle', async (t) => {
  const { db } = await filled(t)
  const tree = db.tree()
  const numbers = spread(1000)
  const loop = performance.eventLoopUtilization()
  const read = await readFor(db, async () => {
    for (const number of numbers) t.is((await tree.promises.get(key(number)))?.readUInt32LE(), number)
  })
  t.true(performance.eventLoopUtilization(loop).idle > 0)
  t.true(read.all > 500, `${read.all} blobs`)
  // The upper frames may have been read by the calls that are no promises.
  t.true(read.all - read.byThreads <= 16, `${read.byThreads} of ${read.all}`)
  const sync = await readFor(db, () => {
    for (const number of numbers) tree.get(key(number))
  })
  t.true(sync.all > 500)
  t.is(sync.byThreads, 0)
})

test.serial('the event loop is held up for less than the synchronous form takes', async (t) => {
  const { db } = await filled(t)
  const tree = db.tree()
  const numbers = spread(4000)
  const start = performance.now()
  for (const number of numbers) tree.has(key(number))
  const synchronousMs = performance.now() - start
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const written: Promise<unknown>[] = []
  for (let at = 0; at < numbers.length; at += 64) {
    const found = numbers.slice(at, at + 64).map((number) => tree.promises.has(key(number)))
    written.push(tree.promises.put('log', `${at}`))
    t.true((await Promise.all(found)).every(Boolean))
  }
  await Promise.all(written)
  delay.disable()
  const p99Ms = delay.percentile(99) / 1e6
  t.log(`p99 ${p99Ms} ms, synchronously ${synchronousMs} ms`)
  t.true(p99Ms < synchronousMs)
})

test.serial('more reads than memory has frames wait at once, and share what they want alike', async (t) => {
  const { db } = await filled(t)
  const { promises } = db.tree()
  const read = await readFor(db, async () => {
    const found = await Promise.all(Array.from({ length: KEYS / 4 }, (_, n) => promises.get(key(n))))
    t.true(found.every((bytes, n) => bytes?.readUInt32LE() === n))
  })
  // Ten thousand records lie in some two hundred frames.
  t.true(read.all < 2500, `${read.all} blobs`)
  const { memory } = db.stats()
  t.true(memory.used <= memory.budget)
})

test.serial('every form answers what the synchronous one does', async (t) => {
  const { db, folder } = await filled(t)
  const tree = db.tree()
  const { promises } = tree
  const keys = [...spread(2000).map(key), 'none']
  t.true(isDeepStrictEqual(await promises.getMany(keys), tree.getMany(keys)))
  for (const listed of [{ prefix: 'folder-7/', values: true }, { delimiter: '/' }, { limit: KEYS }]) {
    t.true(isDeepStrictEqual(await promises.list(listed), tree.list(listed)))
  }
  db.close()
  using again = open(folder, options)
  const other = again.tree()
  t.is(await other.promises.count('folder-1'), 11 * (KEYS / 50))
  t.false(await other.promises.isEmpty('folder-49/object-9'))
  t.true(await other.promises.isEmpty('folder-50'))
  t.deepEqual(await other.promises.record(key(30_003)), other.record(key(30_003)))
  const below = `${key(20_000)}/deeper`
  t.deepEqual(await other.promises.longestPrefix(below), other.longestPrefix(below))
  for (const range of [{}, { prefix: 'folder-2', reverse: true }, { gte: 'folder-30', limit: 700 }]) {
    const scanned: [string, Buffer][] = []
    for await (const entry of other.promises.entries(range)) scanned.push(entry)
    t.true(isDeepStrictEqual(scanned, [...other.entries(range)]))
  }
})

test.serial('the last page of a listing has no next, whatever is in memory', async (t) => {
  const { db } = await filled(t)
  const tree = db.tree()
  const counts = new Map<string, number>()
  for (let n = 0; n < KEYS; n++) {
    const whole = key(n)
    for (let end = whole.indexOf('-', 9) + 1; end <= whole.length; end++) {
      const prefix = whole.slice(0, end)
      counts.set(prefix, (counts.get(prefix) ?? 0) + 1)
    }
  }
  const stray: string[] = []
  const several = [...counts].filter(([, count]) => count > 1)
  for (const [prefix, count] of several.filter((_, at) => at % 3 === 0)) {
    const whole = await tree.promises.list({ prefix, limit: count })
    if (whole.next !== undefined) stray.push(prefix)
    t.is(whole.keys.length, count, prefix)
    const { next } = await tree.promises.list({ prefix, limit: count - 1 })
    t.deepEqual(tree.list({ prefix, token: next as string }), { keys: whole.keys.slice(-1), prefixes: [] })
  }
  t.deepEqual(stray, [])
})

test.serial('a read that waits sees the writes that were called before it, and its key as it was', async (t) => {
  const { db } = await filled(t)
  const { promises } = db.tree()
  for (const number of spread(50)) {
    const bytes = Buffer.from(key(number))
    const reading = promises.get(bytes)
    bytes.fill('x')
    const many = [Buffer.from(key(number + 1))]
    const readingMany = promises.getMany(many)
    many[0]?.fill('x')
    many.push(Buffer.from('more'))
    t.is((await reading)?.readUInt32LE(), number)
    t.deepEqual(
      (await readingMany).map((found) => found?.readUInt32LE()),
      [number + 1],
    )
    const writing = promises.put(key(number), 'new')
    t.is(`${await promises.get(key(number))}`, 'new')
    await writing
  }
})

for (const close of ['close', 'promises.close'] as const) {
  test.serial(`${close} rejects the reads that wait for the disk`, async (t) => {
    const { db, folder } = await filled(t)
    const { promises } = db.tree()
    const scanning = promises.keys()
    const reads = [
      ...spread(2000).map((number) => promises.get(key(number))),
      scanning.next(),
      promises.count('folder-1'),
    ]
    const settled = Promise.allSettled(reads)
    await (close === 'close' ? db.close() : db.promises.close())
    const failures = (await settled).flatMap((read) => (read.status === 'rejected' ? [read.reason as unknown] : []))
    t.true(failures.length > 1000)
    t.true(failures.every((error) => error instanceof CoppiceError && error.code === 'ERR_COPPICE_CLOSED'))
    await rejectsCode(t, () => promises.get('k'), 'ERR_COPPICE_CLOSED')
    using again = open(folder, options)
    t.true(again.tree().has(key(1)))
  })
}

test.serial('closing from what one read resolves with harms nobody', async (t) => {
  const { db } = await filled(t)
  let decoded = 0
  const decode = (bytes: Buffer) => {
    if (++decoded === 10) db.close()
    return bytes.readUInt32LE()
  }
  const codec = { name: 'closing', encode: (number: number) => value(number), decode }
  const { promises } = db.tree('', { encoding: codec })
  const settled = await Promise.allSettled(spread(500).map((number) => promises.get(key(number))))
  const answered = settled.filter((read) => read.status === 'fulfilled')
  t.true(answered.length >= 10 && answered.length < 500, `${answered.length} answers`)
})

test.serial('what a codec throws is what the promise rejects with, once there is something to decode', async (t) => {
  const { db } = await filled(t)
  const failure = new Error('no')
  const codec = {
    name: 'failing',
    encode: String,
    decode: () => {
      throw failure
    },
  }
  const { promises } = db.tree('', { encoding: codec })
  for (const number of spread(20)) t.is(await t.throwsAsync(promises.get(key(number))), failure)
})

test.serial('damage on disk rejects with its own error', async (t) => {
  const { db, folder } = await filled(t)
  db.close()
  const blobs = path.join(folder, 'blobs')
  const bytes = await readFile(blobs)
  const damaged = 12_345
  for (let at = bytes.indexOf(value(damaged)); at >= 0; at = bytes.indexOf(value(damaged), at + 1))
    bytes.writeUInt8(0, at)
  await writeFile(blobs, bytes)
  using again = open(folder, options)
  const { promises } = again.tree()
  const failing = promises.get(key(damaged))
  const reads = spread(200).map((number) => promises.get(key(number)))
  const error = await rejectsCode(t, () => failing, 'ERR_COPPICE_CORRUPT')
  t.regex(error?.message ?? '', /blobs is damaged at byte \d+/)
  await rejectsCode(t, () => promises.getMany([key(1), key(damaged)]), 'ERR_COPPICE_CORRUPT')
  const settled = await Promise.allSettled(reads)
  t.true(settled.filter((read) => read.status === 'fulfilled').length > 190)
})

test.serial('reads that nobody awaits keep the process until they settle', async (t) => {
  const { db, folder } = await filled(t)
  db.close()
  const program = `
    import { open } from 'coppice'
    const { promises } = open(process.argv[1], { memory: '4MiB' }).tree()
    for (let n = 0; n < 10; n++) promises.has('folder-' + n + '/object-' + n).then(() => process.stdout.write('.'))
  `
  const outcome = await run(process.execPath, ['--input-type=module', '--eval', program, folder])
  t.deepEqual(outcome, { code: 0, stdout: '..........', stderr: '' })
})

test.serial('a worker that is terminated with reads in flight harms nobody', async (t) => {
  const { db, folder } = await filled(t)
  for (let times = 0; times < 3; times++) {
    const worker = new Worker(coldReader, { argv: [folder, `${KEYS}`], execArgv: [] })
    await once(worker, 'message')
    await worker.terminate()
  }
  t.is((await db.tree().promises.get(key(17)))?.readUInt32LE(), 17)
})

test.serial('workers that read the same database are all served', async (t) => {
  const { db, folder } = await filled(t)
  const workers = [1, 2].map(() => new Worker(coldReader, { argv: [folder, `${KEYS}`], execArgv: [] }))
  await Promise.all(workers.map((worker) => once(worker, 'message')))
  for (const number of spread(500)) t.is((await db.tree().promises.get(key(number)))?.readUInt32LE(), number)
  await Promise.all(workers.map((worker) => worker.terminate()))
})
