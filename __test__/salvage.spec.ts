import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  type CoppiceError,
  type CoppiceErrorCode,
  type Database,
  open,
  type Progress,
  type SalvageReport,
  salvage,
} from 'coppice'
import { coppice } from './support/command.js'
import { rejectsCode, stored } from './support/database.js'

const KEYS = 3000

function fill(db: Database): void {
  const tree = db.tree('t')
  tree.putMany(Array.from({ length: KEYS }, (_, n): [string, string] => [`dir${n % 90}/file${n}`, `value ${n}`]))
  tree.put('large', Buffer.alloc(50_000, 7))
  db.tree('other', { encoding: 'json' }).put('a', { b: 1 })
}

/** A closed database whose large value is damaged, and where to rebuild it. */
async function damaged(t: ExecutionContext): Promise<{ source: string; destination: string }> {
  const db = await stored(t)
  fill(db)
  db.close()
  const blobs = path.join(db.path, 'blobs')
  const bytes = await readFile(blobs)
  const at = bytes.indexOf(Buffer.alloc(4096, 7))
  bytes[at + 5000] = 8
  await writeFile(blobs, bytes)
  return { source: db.path, destination: path.join(path.dirname(db.path), 'rescued') }
}

async function refused(
  t: ExecutionContext,
  action: () => Promise<unknown>,
  code: CoppiceErrorCode,
  message: RegExp,
): Promise<CoppiceError | undefined> {
  const error = await rejectsCode(t, action, code)
  t.regex(error?.message ?? '', message)
  return error
}

test('what still checks is in the new database, and what does not is named', async (t) => {
  const { source, destination } = await damaged(t)
  const { problems, lost, ...report } = await salvage(source, destination)
  t.deepEqual(report, {
    ok: false,
    version: report.version,
    trees: 2,
    keys: KEYS + 1,
    unplaced: 0,
    lostFrames: 0,
    lostValues: 1,
  })
  t.is(problems.length, 1)
  t.is(problems[0]?.file, 'blobs')
  t.deepEqual(lost, [{ tree: 't', first: Buffer.from('large'), last: Buffer.from('large'), records: 1 }])
  using db = open(destination, { create: false })
  t.true((await db.verify()).ok)
  t.is(db.tree('t', { encoding: 'utf8' }).get('dir7/file7'), 'value 7')
  t.deepEqual(db.tree('other', { encoding: 'json' }).get('a'), { b: 1 })
  t.false(db.tree('t').has('large'))
})

test('records whose place is lost are in a tree of their own', async (t) => {
  const { source, destination } = await damaged(t)
  // The topmost frame is the first blob of the first checkpoint.
  const blobs = path.join(source, 'blobs')
  const bytes = await readFile(blobs)
  for (let at = 4096; at < bytes.length; at += 4096) {
    // A trie frame's first two bytes: its kind, and its layout's version.
    if (bytes[at] === 1 && bytes[at + 1] === 1) bytes[at + 64] = (bytes[at + 64] ?? 0) ^ 255
  }
  await writeFile(blobs, bytes)
  const report = await salvage(source, destination)
  t.true(report.lostFrames > 0)
  t.true(report.lost.some(({ tree, first }) => tree === undefined && first.length === 0))
  t.is(report.lostAndFound, 'lost+found')
  using db = open(destination)
  t.is(db.tree('lost+found').count('frame-'), report.unplaced)
})

test('a sound database is kept whole, its journal too', async (t) => {
  const db = await stored(t)
  fill(db)
  await db.checkpoint()
  db.tree('t').put('after', 'x')
  const copy = path.join(path.dirname(db.path), 'copy')
  await db.backup(copy)
  const destination = path.join(path.dirname(db.path), 'rescued')
  const report = await salvage(copy, destination)
  t.like(report, { ok: true, problems: [], lost: [], keys: KEYS + 3, trees: 2 })
  t.false('lostAndFound' in report)
})

test('the damaged database must be there, and nobody may write to it', async (t) => {
  const db = await stored(t)
  const folder = path.dirname(db.path)
  const destination = path.join(folder, 'rescued')
  await refused(t, () => salvage(db.path, destination), 'ERR_COPPICE_LOCKED', /in use/)
  db.close()
  await refused(t, () => salvage(path.join(folder, 'none'), destination), 'ERR_COPPICE_NOT_FOUND', /none/)
  const something = path.join(folder, 'something')
  await mkdir(something)
  await refused(t, () => salvage(something, destination), 'ERR_COPPICE_NOT_FOUND', /something/)
  await writeFile(path.join(something, 'blobs'), 'text')
  await refused(t, () => salvage(something, destination), 'ERR_COPPICE_CORRUPT', /no file says/)
  await refused(t, () => salvage(db.path, something), 'ERR_COPPICE_INVALID_ARGUMENT', /is not empty/)
  await refused(t, () => salvage(db.path, db.path), 'ERR_COPPICE_INVALID_ARGUMENT', /is not empty/)
  t.false(existsSync(destination))
})

test('arguments are checked', async (t) => {
  const wrong = salvage as unknown as (...args: unknown[]) => Promise<SalvageReport>
  await refused(t, () => wrong(), 'ERR_COPPICE_INVALID_ARGUMENT', /source/)
  await refused(t, () => wrong('a', ''), 'ERR_COPPICE_INVALID_ARGUMENT', /destination/)
  await refused(t, () => wrong('a', ':memory:'), 'ERR_COPPICE_INVALID_ARGUMENT', /destination.*':memory:'/)
  await refused(t, () => wrong('a', 'b', { nope: 1 }), 'ERR_COPPICE_INVALID_ARGUMENT', /salvage options/)
  await refused(t, () => wrong('a', 'b', { onProgress: 1 }), 'ERR_COPPICE_INVALID_ARGUMENT', /onProgress/)
})

test('progress is told, and a signal or what is thrown calls it off and leaves nothing', async (t) => {
  const { source, destination } = await damaged(t)
  const told: Progress[] = []
  await salvage(source, destination, { onProgress: (progress) => told.push(progress) })
  const { done, total, unit } = told.at(-1) as Progress
  t.is(unit, 'blobs')
  t.is(done, total)
  await rm(destination, { recursive: true })
  const reason = new Error('enough')
  const error = await refused(
    t,
    () => salvage(source, destination, { signal: AbortSignal.abort(reason) }),
    'ERR_COPPICE_ABORTED',
    /salvage of the database/,
  )
  t.is(error?.cause, reason)
  t.false(existsSync(destination))
})

test('coppice salvage rebuilds, lists what is lost and exits with 1', async (t) => {
  const { source, destination } = await damaged(t)
  const { code, stdout, stderr } = await coppice(['salvage', source, destination])
  t.is(code, 1)
  t.regex(stdout, /^blobs:\d+ {2}.*\nlost: 1 record of the tree "t" at "large"\nkept: 3,001 keys, 2 trees\n$/)
  t.regex(stderr, /^coppice: .*: 1 problem; what could be kept is in .*rescued\n$/)
  t.is((await coppice(['verify', destination])).code, 0)
  await rm(destination, { recursive: true })
  const json = await coppice(['salvage', '--json', source, destination])
  t.is(json.code, 1)
  t.like(JSON.parse(json.stdout), {
    ok: false,
    keys: KEYS + 1,
    lost: [{ tree: 't', first: { path: 'large' }, last: { path: 'large' }, records: 1 }],
  })
  await rm(destination, { recursive: true })
  const again = await coppice(['salvage', source, source])
  t.is(again.code, 2)
})

test('coppice salvage of a sound database exits with 0', async (t) => {
  const db = await stored(t)
  fill(db)
  db.close()
  const { code, stdout, stderr } = await coppice(['salvage', db.path, path.join(path.dirname(db.path), 'rescued')])
  t.is(code, 0, stderr)
  t.is(stdout, 'kept: 3,002 keys, 2 trees\n')
})
