import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { CoppiceError, type Database, open, type Progress } from 'coppice'
import { coppice } from './support/command.js'
import { calledOff, comeToRest, rejectsCode, stored, temporaryFolder, volatile } from './support/database.js'

const KEYS = 4000

function fill(db: Database): void {
  const tree = db.tree('t')
  tree.putMany(Array.from({ length: KEYS }, (_, n): [string, string] => [`dir${n % 90}/file${n}`, `value ${n}`]))
  tree.put('large', Buffer.alloc(300_000, 7))
  db.tree('other', { encoding: 'json' }).put('a', { b: 1 })
}

async function filled(t: ExecutionContext): Promise<{ db: Database; folder: string }> {
  const db = await stored(t)
  fill(db)
  return { db, folder: path.dirname(db.path) }
}

function records(db: Database): unknown {
  return db.trees().map((name) => [name, [...db.tree(name).records()]])
}

test('a backup is a database with the same in it', async (t) => {
  const { db, folder } = await filled(t)
  const expected = records(db)
  const destination = path.join(folder, 'copy')
  const backup = db.backup(destination)
  t.is(await backup, undefined)
  db.tree('t').deletePrefix('')
  {
    using copy = open(destination, { create: false })
    t.deepEqual(records(copy), expected)
    t.true((await copy.verify()).ok)
    t.true(copy.tree('t').put('new', 'x') > KEYS)
  }
  using again = open(destination)
  t.is(again.tree('t').count(), KEYS + 2)
})

test('a backup holds one moment of a database that is written to', async (t) => {
  const { db, folder } = await filled(t)
  const tree = db.tree('pairs', { encoding: 'json' })
  let round = 0
  const write = () => {
    round++
    const batch = db.batch()
    for (let n = 0; n < 20; n++) batch.put(tree, `k${n}`, round)
    batch.commit()
  }
  write()
  await db.checkpoint()
  const writing = setInterval(write, 1)
  for (const name of ['one', 'two', 'three']) {
    await db.backup(path.join(folder, name))
    using copy = open(path.join(folder, name), { create: false })
    const values = new Set(copy.tree('pairs', { encoding: 'json' }).values())
    t.is(values.size, 1)
    t.true((await copy.verify()).ok)
  }
  clearInterval(writing)
  t.deepEqual(db.stats().snapshots, { open: 0, pinnedBlobs: 0 })
})

test('a volatile database becomes one in a folder', async (t) => {
  const db = volatile(t)
  fill(db)
  const destination = path.join(await temporaryFolder(t), 'copy')
  await db.backup(destination)
  using copy = open(destination)
  t.deepEqual(records(copy), records(db))
})

test('progress is told in blobs and ends with all of them', async (t) => {
  const { db, folder } = await filled(t)
  const { blobs } = db.stats()
  const seen: Progress[] = []
  await db.backup(path.join(folder, 'copy'), { onProgress: (progress) => seen.push(progress) })
  t.deepEqual(seen.at(-1), { done: blobs, total: blobs, unit: 'blobs' })
})

test('a backup that is called off leaves nothing', async (t) => {
  const { db, folder } = await filled(t)
  const reason = new Error('enough')
  const destination = path.join(folder, 'copy')
  const begin = async () => {
    await rm(destination, { recursive: true, force: true })
    const controller = new AbortController()
    const backup = db.backup(destination, { signal: controller.signal })
    controller.abort(reason)
    await backup
  }
  const error = await calledOff(t, begin, 'ERR_COPPICE_ABORTED')
  t.is(error?.cause, reason)
  t.false(existsSync(destination))
  await mkdir(destination)
  const thrown = new Error('from the callback')
  const again = db.backup(destination, {
    onProgress: () => {
      throw thrown
    },
  })
  // Either the callback came too late, and threw when all was done, or nothing is left in the folder, which was there.
  t.is(await t.throwsAsync(again), thrown)
  t.true((await readdir(destination)).length === 0 || existsSync(path.join(destination, 'coppice.super')))
})

test('a close calls a backup off', async (t) => {
  let destination = ''
  const begin = async () => {
    const { db, folder } = await filled(t)
    destination = path.join(folder, 'copy')
    const backup = db.backup(destination)
    db.close()
    await Promise.all([backup, rejectsCode(t, () => db.backup(destination), 'ERR_COPPICE_CLOSED')])
  }
  await calledOff(t, begin, 'ERR_COPPICE_CLOSED')
  t.false(existsSync(destination))
})

test('destinations that cannot be are refused, and left as they are', async (t) => {
  const { db, folder } = await filled(t)
  await comeToRest(db)
  const full = path.join(folder, 'full')
  await mkdir(full)
  await writeFile(path.join(full, 'mine'), 'x')
  await writeFile(path.join(folder, 'file'), 'x')
  await symlink(db.path, path.join(folder, 'link'))
  await symlink(path.join(folder, 'nothing'), path.join(folder, 'dangling'))
  const before = await readdir(db.path)
  for (const destination of [
    full,
    path.join(folder, 'file'),
    db.path,
    path.join(db.path, 'copy'),
    path.join(folder, 'link', 'copy'),
    path.join(folder, 'dangling'),
    ':memory:',
    '',
    'a\0b',
    7 as never,
  ]) {
    const error = await rejectsCode(t, () => db.backup(destination), 'ERR_COPPICE_INVALID_ARGUMENT')
    t.regex(error?.message ?? '', /destination/)
    if (typeof destination === 'string' && !destination.includes('\0')) t.true(error?.message.includes(destination))
  }
  await rejectsCode(t, () => db.backup(path.join(folder, 'none', 'copy')), 'ERR_COPPICE_NOT_FOUND')
  await rejectsCode(
    t,
    () => db.backup(path.join(folder, 'copy'), { depth: 1 } as never),
    'ERR_COPPICE_INVALID_ARGUMENT',
  )
  t.deepEqual(await readdir(full), ['mine'])
  t.deepEqual(await readdir(db.path), before)
  t.false(existsSync(path.join(folder, 'copy')))
  t.false(existsSync(path.join(folder, 'nothing')))
  t.false(existsSync(':memory:'))
})

const onLinux = existsSync('/dev/full') ? test : test.skip
onLinux('a destination that takes no writes is told from the database', async (t) => {
  const { db } = await filled(t)
  const error = await t.throwsAsync(db.backup('/proc/copy'), { instanceOf: CoppiceError })
  t.regex(error?.message ?? '', /\/proc\/copy/)
  t.true((await db.verify()).ok)
})

test('coppice backup copies, and says how much', async (t) => {
  const { db, folder } = await filled(t)
  const expected = records(db)
  db.close()
  const destination = path.join(folder, 'copy')
  const { code, stdout, stderr } = await coppice(['backup', db.path, destination])
  t.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  t.regex(stdout, /copy: \d+ blobs in .*s\n$/)
  {
    using copy = open(destination)
    t.deepEqual(records(copy), expected)
  }
  const second = path.join(folder, 'second')
  const json = JSON.parse((await coppice(['backup', '--json', db.path, second])).stdout)
  t.is(json.destination, second)
  t.true(json.blobs > 0 && json.durationMs >= 0)
})

test('coppice backup fails with the exit codes of the other commands', async (t) => {
  const { db, folder } = await filled(t)
  const destination = path.join(folder, 'copy')
  t.is((await coppice(['backup', db.path, destination])).code, 4)
  db.close()
  t.is((await coppice(['backup', path.join(folder, 'none'), destination])).code, 3)
  t.is((await coppice(['backup', db.path, db.path])).code, 2)
  await symlink(path.join(folder, 'nothing'), path.join(folder, 'dangling'))
  for (const refused of [':memory:', path.join(folder, 'dangling')]) {
    const { code, stderr } = await coppice(['backup', db.path, refused])
    t.is(code, 2)
    t.true(stderr.startsWith('coppice: ') && stderr.includes(refused), stderr)
  }
  t.is((await coppice(['backup', db.path])).code, 2)
  t.false(existsSync(destination))
})

test('coppice checkpoint empties the journal', async (t) => {
  const { db } = await filled(t)
  const version = db.tree('t').put('last', 'x')
  db.close()
  const { code, stdout } = await coppice(['checkpoint', db.path])
  t.is(code, 0)
  t.regex(stdout, new RegExp(`^version ${version}: \\d+ blobs, .* in .*s\\n$`))
  const report = JSON.parse((await coppice(['checkpoint', '--json', db.path])).stdout)
  t.is(report.version, version)
})
