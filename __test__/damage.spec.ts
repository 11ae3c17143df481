// Databases whose files somebody or something has laid hands on: an error that says what and where, or all that was put in;
// never a wrong answer, and never made worse.

import { spawnSync } from 'node:child_process'
import {
  chmod,
  copyFile,
  cp,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { CoppiceError, open } from 'coppice'
import { root, run } from './support/command.js'
import { temporaryFolder, throwsCode } from './support/database.js'

const RECORDS = 2000
/** How many bits of each file are flipped, one at a time. */
const FLIPS = 12

/** Makes a closed database of so many records, with a checkpoint in their middle; the names of its files. */
async function closedDatabase(folder: string, value = 'v', records = RECORDS): Promise<string[]> {
  using db = open(folder)
  const tree = db.tree('t')
  const entry = (index: number) => [`k${index}`, `${value}${index}`] as const
  tree.putMany(Array.from({ length: records / 2 }, (_, index) => entry(index)))
  await db.checkpoint()
  tree.putMany(Array.from({ length: records / 2 }, (_, index) => entry(records / 2 + index)))
  db.close()
  const entries = await readdir(folder, { withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

/** True where a database either says what is wrong with it, naming itself, or has all that was put into it. */
function isHonest(folder: string, create: boolean): true | string {
  try {
    using db = open(folder, { create })
    const tree = db.tree('t', { encoding: 'utf8' })
    const wrong = Array.from({ length: RECORDS }, (_, index) => index).filter(
      (index) => tree.get(`k${index}`) !== `v${index}`,
    )
    return (wrong.length === 0 && tree.count() === RECORDS) || `${wrong.length} of ${tree.count()} records are wrong`
  } catch (error) {
    if (!(error instanceof CoppiceError)) return String(error)
    const known = ['CORRUPT', 'NOT_FOUND', 'IO'].some((code) => error.code === `ERR_COPPICE_${code}`)
    return (known && error.message.includes(folder)) || `${error.code}: ${error.message}`
  }
}

/** The contents of a folder's files; the lock file has this process's own entry. */
async function contents(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder, { withFileTypes: true })).filter(
    (entry) => entry.isFile() && entry.name !== 'LOCK',
  )
  const files = names.map(async ({ name }) => [name, (await readFile(path.join(folder, name))).toString('base64')])
  return Object.fromEntries(await Promise.all(files)) as Record<string, string>
}

/** What there is beside the database: others of the same making. */
interface Others {
  /** Of other values. */
  foreign: string
  /** The same one, as it was when it had half as many records. */
  older: string
}

/** The file of another database that is what this one is in its own: of the same name, or the last of its kind. */
async function counterpart(folder: string, file: string): Promise<string> {
  const names = (await readdir(folder)).sort()
  const kind = file.replace(/-.*/, '')
  const name = names.includes(file) ? file : names.filter((name) => name.startsWith(kind)).pop()
  return path.join(folder, name ?? file)
}

/** Does something to a file. */
type Damage = (file: string, others: Others) => Promise<void>

const inPlace =
  (change: (bytes: Buffer) => Uint8Array): Damage =>
  async (file) =>
    writeFile(file, change(await readFile(file)))

const damages: [string, Damage][] = [
  ['a truncated file', inPlace((bytes) => bytes.subarray(0, -1000))],
  ['a file cut in half', inPlace((bytes) => bytes.subarray(0, bytes.length >> 1))],
  ['a file cut off behind a byte', (file) => truncate(file, 1)],
  ['an empty file', (file) => writeFile(file, '')],
  ['a file of zeros', inPlace((bytes) => Buffer.alloc(bytes.length))],
  ['a file that begins with zeros', inPlace((bytes) => bytes.fill(0, 0, Math.min(4096, bytes.length)))],
  ['a file that ends in zeros', inPlace((bytes) => bytes.fill(0, bytes.length >> 1))],
  ['a foreign file', inPlace((bytes) => Buffer.alloc(bytes.length, 'not a database '))],
  ['a missing file', (file) => rm(file)],
  [
    'a folder in place of a file',
    async (file) => {
      await rm(file)
      await mkdir(file)
    },
  ],
  [
    "another database's file",
    async (file, { foreign }) => copyFile(await counterpart(foreign, path.basename(file)), file),
  ],
  ['an older copy of a file', async (file, { older }) => copyFile(await counterpart(older, path.basename(file)), file)],
  ...Array.from({ length: FLIPS }, (_, number): [string, Damage] => [
    `a file with bit ${number} of ${FLIPS} flipped`,
    inPlace((bytes) => {
      // The first ones are in what headers there are.
      const at = number < 4 ? (number * 37) % bytes.length : Math.floor((bytes.length * (number - 4)) / (FLIPS - 4))
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (number % 8))
      return bytes
    }),
  ]),
]

/** A database, and others beside it. */
async function original(t: ExecutionContext): Promise<{ folder: string; files: string[]; others: Others }> {
  const home = await temporaryFolder(t)
  const [folder, foreign, older] = ['db', 'foreign', 'older'].map((name) => path.join(home, name)) as [
    string,
    string,
    string,
  ]
  await closedDatabase(foreign, 'w')
  await closedDatabase(folder, 'v', RECORDS / 2)
  await cp(folder, older, { recursive: true })
  const files = await closedDatabase(folder)
  return { folder, files, others: { foreign, older } }
}

for (const [name, damage] of damages) {
  test(`${name} is never answered wrongly, nor made worse`, async (t) => {
    const { folder: sound, files, others } = await original(t)
    t.true(files.length >= 4)
    for (const file of files) {
      const folder = path.join(await temporaryFolder(t), 'db')
      await cp(sound, folder, { recursive: true })
      await damage(path.join(folder, file), others)
      const before = await contents(folder)
      for (const create of [false, true]) {
        const answer = isHonest(folder, create)
        t.is(answer, true, file)
        // What was opened was closed again, which may begin another journal.
        if (file !== 'LOCK' && !opens(folder)) t.deepEqual(await contents(folder), before, file)
      }
    }
  })
}

/** Whether it can be opened. */
function opens(folder: string): boolean {
  try {
    open(folder, { readOnly: true }).close()
    return true
  } catch {
    return false
  }
}

test('damaged blobs are told from a database of another kind, and where', async (t) => {
  const folder = path.join(await temporaryFolder(t), 'db')
  await closedDatabase(folder)
  const file = path.join(folder, 'blobs')
  const bytes = await readFile(file)
  await writeFile(file, bytes.subarray(0, -1000))
  throwsCode(t, () => open(folder), 'ERR_COPPICE_CORRUPT', /db.*blobs is damaged at byte \d+/)
  await writeFile(file, bytes)
  using db = open(folder)
  t.is(db.tree('t').count(), RECORDS)
})

for (const [name, target] of [
  ['the file itself, elsewhere', 'moved'],
  ['nothing', 'nowhere'],
] as const) {
  test(`a symbolic link to ${name} is not followed`, async (t) => {
    if (process.platform === 'win32') return skip(t, 'needs symbolic links')
    const { folder: sound, files } = await original(t)
    for (const file of files) {
      const home = await temporaryFolder(t)
      const folder = path.join(home, 'db')
      await cp(sound, folder, { recursive: true })
      await rename(path.join(folder, file), path.join(home, 'moved'))
      await symlink(path.join(home, target), path.join(folder, file))
      const before = await readFile(path.join(home, 'moved'))
      for (const options of [{}, { create: false }, { readOnly: true }]) {
        const error = t.throws(() => open(folder, options), { instanceOf: CoppiceError }, file)
        t.true(error?.message.includes(folder), error?.message)
        t.not(error?.code, 'ERR_COPPICE_INTERNAL', error?.message)
      }
      t.deepEqual(await readFile(path.join(home, 'moved')), before, file)
      t.false((await readdir(home)).includes('nowhere'))
    }
  })
}

test('a database behind a symbolic link to its folder is the same one', async (t) => {
  const { folder } = await original(t)
  await symlink(folder, `${folder}-link`, 'junction')
  using db = open(`${folder}-link`)
  using same = open(folder)
  db.tree('t').put('k0', 'changed')
  t.is(same.tree('t', { encoding: 'utf8' }).get('k0'), 'changed')
})

/** What a program prints that opens a database in a process of its own: how it failed, or what it found. */
const opener = (folder: string, options: object) => `
  const { CoppiceError, open } = require(${JSON.stringify(path.join(root, 'dist/index.cjs'))})
  try {
    const db = open(${JSON.stringify(folder)}, ${JSON.stringify(options)})
    const tree = db.tree('t')
    let wrong = 0
    for (let index = 0; index < ${RECORDS}; index++) if (String(tree.get('k' + index)) !== 'v' + index) wrong++
    console.log(wrong, tree.count())
  } catch (error) {
    console.log(error instanceof CoppiceError, error.code, error.message)
  }`

/** Says that a test could not be done here. */
function skip(t: ExecutionContext, why: string): void {
  t.log(`SKIPPED: ${why}`)
  t.pass()
}

const isRoot = process.getuid?.() === 0
const NOBODY = 65534

test('files that may not be read are named', async (t) => {
  if (process.platform === 'win32') return skip(t, 'needs POSIX permissions')
  const { folder: sound, files } = await original(t)
  const asNobody = isRoot ? { uid: NOBODY, gid: NOBODY } : {}
  const version = await run(process.execPath, ['-e', `require(${JSON.stringify(path.join(root, 'dist/index.cjs'))})`], {
    ...asNobody,
    cwd: '/',
  }).catch(() => ({ code: 1 }))
  if (version.code !== 0) return skip(t, 'nobody else than root may run this program here')
  for (const file of files) {
    const home = await temporaryFolder(t)
    const folder = path.join(home, 'db')
    await cp(sound, folder, { recursive: true })
    if (isRoot) spawnSync('chown', ['-R', String(NOBODY), home])
    await chmod(path.join(folder, file), 0)
    for (const options of [{}, { readOnly: true }]) {
      const { code, stdout, stderr } = await run(process.execPath, ['-e', opener(folder, options)], {
        ...asNobody,
        cwd: '/',
      })
      t.is(code, 0, stderr)
      const honest = `0 ${RECORDS}\n`
      t.true(
        stdout === honest || /^true ERR_COPPICE_(IO|READ_ONLY) .*Permission denied/.test(stdout),
        `${file}: ${stdout}`,
      )
      t.true(stdout === honest || stdout.includes(folder), stdout)
    }
  }
})

/** Runs a shell's commands where mounts are its own; undefined where the system lets nobody do that. */
async function withMounts(commands: string) {
  const flags = isRoot ? ['-m'] : ['-rm']
  const allowed = await run('unshare', [...flags, 'mount', '-t', 'tmpfs', 'none', '/mnt']).catch(() => ({ code: 1 }))
  return allowed.code === 0 ? run('unshare', [...flags, 'sh', '-ec', commands]) : undefined
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
const node = (program: string) => `${quoted(process.execPath)} -e ${quoted(program)}`

test('a mount that takes no writes is read, and not written to', async (t) => {
  const { folder } = await original(t)
  const before = await contents(folder)
  const mounted = quoted(path.dirname(folder))
  const done = await withMounts(`
    mount --bind ${mounted} ${mounted}
    mount -o remount,bind,ro ${mounted}
    ${node(opener(folder, {}))}
    ${node(opener(folder, { create: false }))}
    ${node(opener(folder, { readOnly: true }))}
    ${node(opener(`${folder}-new`, {}))}`)
  if (done === undefined) return skip(t, 'nothing can be mounted here')
  t.is(done.code, 0, done.stderr)
  const [writing, existing, reading, creating] = done.stdout.trim().split('\n')
  for (const refused of [writing, existing, creating]) {
    t.regex(refused ?? '', /^true ERR_COPPICE_(IO|READ_ONLY) .*Read-only file system/)
    t.true(refused?.includes(folder), refused)
  }
  t.is(reading, `0 ${RECORDS}`)
  t.deepEqual(await contents(folder), before)
})

test('a disk that is full refuses writes, serves reads, takes deletes, and is written to when there is room', async (t) => {
  const home = await temporaryFolder(t)
  const program = `
    const { open } = require(${JSON.stringify(path.join(root, 'dist/index.cjs'))})
    const { rmSync, writeFileSync } = require('node:fs')
    const home = ${JSON.stringify(home)}
    writeFileSync(home + '/filler', Buffer.alloc(6 << 20))
    const db = open(home + '/db', { checkpoint: { journalBytes: '1MiB' } })
    const tree = db.tree('t')
    let puts = 0
    const fill = () => {
      for (;;) {
        try {
          tree.put('k' + puts, Buffer.alloc(1000, puts))
        } catch (error) {
          return error.code
        }
        puts += 1
      }
    }
    const codes = [fill(), fill()]
    const isThere = () => {
      for (let index = 0; index < puts; index++) {
        if (!tree.get('k' + index)?.equals(Buffer.alloc(1000, index))) return 'k' + index + ' is not there'
      }
      return tree.count() === puts
    }
    const read = isThere()
    const removed = tree.delete('k' + --puts)
    rmSync(home + '/filler')
    const before = puts
    const resumed = () => {
      try {
        tree.put('k' + puts, Buffer.alloc(1000, puts))
        return ++puts
      } catch {}
    }
    const end = Date.now() + 100_000
    const timer = setInterval(() => {
      if (resumed() === undefined && Date.now() < end) return
      clearInterval(timer)
      const whole = [read, removed, puts > before, isThere()]
      db.close()
      console.log(codes.join(), whole.join(), open(home + '/db').tree('t').count() === puts)
    }, 10)`
  const done = await withMounts(`
    mount -t tmpfs -o size=24m none ${quoted(home)}
    ${node(program)}`)
  if (done === undefined) return skip(t, 'nothing can be mounted here')
  t.is(done.code, 0, done.stderr)
  t.is(done.stdout, 'ERR_COPPICE_NO_SPACE,ERR_COPPICE_NO_SPACE true,true,true,true true\n')
})
