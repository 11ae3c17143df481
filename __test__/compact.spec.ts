import test, { type ExecutionContext } from 'ava'
import type { Database, Progress } from 'coppice'
import { rejectsCode, stored, volatile } from './support/database.js'

const KEYS = 6000

/** A database that was filled, and of which most was deleted. */
async function emptied(t: ExecutionContext): Promise<Database> {
  const db = await stored(t)
  const tree = db.tree('t')
  const value = Buffer.alloc(500, 7)
  tree.putMany(Array.from({ length: KEYS }, (_, n): [string, Buffer] => [`dir${n % 10}/file${n}`, value]))
  await db.checkpoint()
  for (let n = 0; n < 9; n++) tree.deletePrefix(`dir${n}/`)
  return db
}

test('compact gives file space back, and says how much', async (t) => {
  const db = await emptied(t)
  const before = db.stats().disk
  const seen: Progress[] = []
  const { bytesFreed } = await db.compact({ onProgress: (progress) => seen.push(progress) })
  const after = db.stats().disk
  t.true(bytesFreed > 1_500_000, String(bytesFreed))
  t.true(after.bytes < before.bytes && after.free < 200_000, JSON.stringify({ before, after }))
  t.is(seen.at(-1)?.unit, 'bytes')
  t.is(seen.at(-1)?.done, seen.at(-1)?.total)
  t.is(db.tree('t').count(), KEYS / 10)
  t.true((await db.verify()).ok)
  t.deepEqual(await db.compact(), { bytesFreed: 0 })
})

test('writes go on meanwhile', async (t) => {
  const db = await emptied(t)
  const compaction = db.compact()
  for (let n = 0; n < 200; n++) db.tree('t').put(`new${n}`, 'v')
  await compaction
  await db.checkpoint()
  t.is(db.tree('t').count(), KEYS / 10 + 200)
  t.true((await db.verify()).ok)
})

test('a snapshot shows what it did', async (t) => {
  const db = await emptied(t)
  using snapshot = db.snapshot()
  const expected = [...snapshot.tree('t').records()]
  db.tree('t').deletePrefix('')
  await db.compact()
  t.deepEqual([...snapshot.tree('t').records()], expected)
})

test('compact can be called off', async (t) => {
  const db = await emptied(t)
  const reason = new Error('enough')
  const error = await rejectsCode(t, () => db.compact({ signal: AbortSignal.abort(reason) }), 'ERR_COPPICE_ABORTED')
  t.is(error?.cause, reason)
  await rejectsCode(t, () => db.compact({ depth: 1 } as never), 'ERR_COPPICE_INVALID_ARGUMENT')
  db.close()
  await rejectsCode(t, () => db.compact(), 'ERR_COPPICE_CLOSED')
})

test('a volatile database has nothing to give back', async (t) => {
  t.deepEqual(await volatile(t).compact(), { bytesFreed: 0 })
})

test('a compaction with nothing to do tells its end, and one that fails does not', async (t) => {
  for (const db of [await stored(t), volatile(t)]) {
    const seen: Progress[] = []
    t.deepEqual(await db.compact({ onProgress: (progress) => seen.push(progress) }), { bytesFreed: 0 })
    t.deepEqual(seen, [{ done: 0, total: 0, unit: 'bytes' }])
    const reason = new Error('enough')
    const onProgress = () => {
      throw reason
    }
    t.is(await t.throwsAsync(db.compact({ onProgress })), reason)
    seen.length = 0
    const refused = db.backup(import.meta.dirname, { onProgress: (progress) => seen.push(progress) })
    await rejectsCode(t, () => refused, 'ERR_COPPICE_INVALID_ARGUMENT')
    t.deepEqual(seen, [])
  }
})
