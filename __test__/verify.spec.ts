import { open as openFile } from 'node:fs/promises'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Database, Progress } from 'coppice'
import { calledOff, comeToRest, digests, rejectsCode, stored, volatile } from './support/database.js'

const KEYS = 20_000

function fill(db: Database): void {
  const tree = db.tree('t')
  tree.putMany(Array.from({ length: KEYS }, (_, n): [string, string] => [`dir${n % 90}/file${n}`, `value ${n}`]))
  tree.put('large', Buffer.alloc(100_000, 7))
}

async function filled(t: ExecutionContext): Promise<Database> {
  const db = await stored(t)
  fill(db)
  return db
}

async function flip(file: string, offset: number): Promise<void> {
  const handle = await openFile(file, 'r+')
  const byte = Buffer.alloc(1)
  await handle.read(byte, 0, 1, offset)
  byte.writeUInt8(byte.readUInt8() ^ 0x10)
  await handle.write(byte, 0, 1, offset)
  await handle.close()
}

test('a sound database has no problems', async (t) => {
  const db = await filled(t)
  const before = await db.verify()
  t.deepEqual(
    { ...before, blobs: 0, bytes: 0 },
    { ok: true, version: KEYS + 2, trees: 1, keys: KEYS + 1, blobs: 0, bytes: 0, problems: [] },
  )
  t.is(before.blobs, db.stats().blobs)
  await db.checkpoint()
  const after = await db.verify()
  t.deepEqual(after, before)
})

test('a volatile database can be verified', async (t) => {
  const db = volatile(t)
  fill(db)
  const { ok, keys } = await db.verify()
  t.deepEqual({ ok, keys }, { ok: true, keys: KEYS + 1 })
})

test('verify changes no file', async (t) => {
  const db = await filled(t)
  await comeToRest(db)
  db.tree('t').put('later', 'in the journal')
  await db.flush()
  const before = await digests(db.path)
  await db.verify()
  t.deepEqual(await digests(db.path), before)
})

test('damage is reported with its place', async (t) => {
  const db = await filled(t)
  await db.checkpoint()
  const { problems } = await db.verify()
  t.deepEqual(problems, [])
  await flip(path.join(db.path, 'blobs'), 4096 + 50)
  await flip(path.join(db.path, 'coppice.super'), 20)
  const report = await db.verify()
  t.false(report.ok)
  t.is(report.keys, KEYS + 1, 'what is in memory is sound')
  t.deepEqual(
    report.problems.map(({ file, offset }) => ({ file, offset })),
    [
      { file: 'coppice.super', offset: 0 },
      { file: 'blobs', offset: 4096 },
    ],
  )
  t.true(report.problems.every(({ what }) => what.length > 0))
  // So that closing the database is a matter of this test alone.
  await flip(path.join(db.path, 'blobs'), 4096 + 50)
  await flip(path.join(db.path, 'coppice.super'), 20)
})

test('writes go on while a verification runs, and are no part of it', async (t) => {
  const db = await filled(t)
  const verification = db.verify()
  const tree = db.tree('t')
  for (let n = 0; n < 500; n++) tree.put(`dir${n % 90}/new${n}`, 'v')
  await db.checkpoint()
  t.true((await verification).ok)
  const { ok, keys } = await db.verify()
  t.deepEqual({ ok, keys }, { ok: true, keys: KEYS + 501 })
})

test('progress is reported and ends with all blobs', async (t) => {
  const db = await filled(t)
  const seen: Progress[] = []
  const { blobs } = await db.verify({ onProgress: (progress) => seen.push(progress) })
  t.deepEqual(seen.at(-1), { done: blobs, total: blobs, unit: 'blobs' })
})

test('an aborted signal rejects with its reason as the cause', async (t) => {
  const db = await filled(t)
  const reason = new Error('enough')
  const before = await rejectsCode(t, () => db.verify({ signal: AbortSignal.abort(reason) }), 'ERR_COPPICE_ABORTED')
  t.is(before?.cause, reason)
  const begin = () => {
    const controller = new AbortController()
    const verification = db.verify({ signal: controller.signal })
    controller.abort(reason)
    return verification
  }
  const during = await calledOff(t, begin, 'ERR_COPPICE_ABORTED')
  t.is(during?.cause, reason)
  t.true((await db.verify()).ok)
})

test('what onProgress throws calls the verification off', async (t) => {
  const db = await filled(t)
  const error = new Error('from the callback')
  const verification = db.verify({
    onProgress: () => {
      throw error
    },
  })
  t.is(await t.throwsAsync(verification), error)
})

test('a close calls a verification off', async (t) => {
  const begin = async () => {
    const db = await filled(t)
    const verification = db.verify()
    db.close()
    await Promise.all([verification, rejectsCode(t, () => db.verify(), 'ERR_COPPICE_CLOSED')])
  }
  await calledOff(t, begin, 'ERR_COPPICE_CLOSED')
})

test('options that cannot be are refused', async (t) => {
  const db = volatile(t)
  for (const options of [{ signal: {} }, { onProgress: 1 }, { depth: 1 }, 7]) {
    await rejectsCode(t, () => db.verify(options as never), 'ERR_COPPICE_INVALID_ARGUMENT')
  }
})
