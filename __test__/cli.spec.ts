import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import anyTest, { type ExecutionContext, type TestFn } from 'ava'
import { open } from 'coppice'
import { coppice, makeTemporaryFolder, type Outcome, removeFolder, root, run } from './support/command.js'

interface Context {
  /** Holds the other two. */
  base: string
  /** The folder that is indexed. */
  folder: string
  /** Where its database goes. */
  database: string
}

const test = anyTest as TestFn<Context>

const isRoot = process.getuid?.() === 0
const NOBODY = 65534

test.beforeEach(async (t) => {
  const base = await makeTemporaryFolder()
  const folder = path.join(base, 'tree')
  await mkdir(path.join(folder, 'lib/deep'), { recursive: true })
  await mkdir(path.join(folder, 'lib64'))
  await writeFile(path.join(folder, 'readme.txt'), 'hello')
  await writeFile(path.join(folder, 'lib/a.so'), Buffer.alloc(3000))
  await writeFile(path.join(folder, 'lib/deep/b.so'), Buffer.alloc(2000))
  await writeFile(path.join(folder, 'lib.txt'), 'not in the folder')
  await chmod(path.join(folder, 'readme.txt'), 0o640)
  await utimes(path.join(folder, 'readme.txt'), 1_700_000_000, 1_700_000_000)
  t.context = { base, folder, database: path.join(base, 'index.db') }
})

test.afterEach.always((t) => removeFolder(t.context.base))

async function succeed(t: ExecutionContext<Context>, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await coppice(args)
  t.is(code, 0, stderr)
  t.is(stderr, '')
  return stdout
}

async function succeedJson<T>(t: ExecutionContext<Context>, ...args: string[]): Promise<T> {
  return JSON.parse(await succeed(t, ...args, '--json')) as T
}

/** A failure is one line on stderr, without a stack trace. */
function assertFailure(t: ExecutionContext<Context>, outcome: Outcome, code: number, message: RegExp): void {
  t.is(outcome.code, code, outcome.stderr)
  t.is(outcome.stdout, '')
  t.regex(outcome.stderr, /^coppice: .+\n$/)
  t.regex(outcome.stderr, message)
}

function index(t: ExecutionContext<Context>): Promise<string> {
  return succeed(t, 'index', t.context.folder, t.context.database)
}

interface ListedJson {
  entries: { path: string; base64?: string; isPrefix: boolean }[]
}

async function listedPaths(t: ExecutionContext<Context>, ...args: string[]): Promise<string[]> {
  const { entries } = await succeedJson<ListedJson>(t, 'ls', t.context.database, ...args)
  return entries.map((entry) => entry.path)
}

test('index reports what it stored and what took the time', async (t) => {
  const output = await index(t)
  t.regex(output, /^Indexed 7 paths from /)
  t.regex(output, /4 files of 4\.9 KiB, 3 directories, 0 symbolic links/)
  t.regex(output, /engine +[\d.]+ m?s +[\d,]+ paths\/s/)
})

test('index --json gives the same as one document', async (t) => {
  const report = await succeedJson<Record<string, unknown>>(t, 'index', t.context.folder, t.context.database)
  t.like(report, { paths: 7, files: 4, directories: 3, symlinks: 0, others: 0, bytes: 5022, removed: 0, skipped: 0 })
  t.deepEqual(report['skippedExamples'], [])
  for (const figure of ['walkMs', 'engineMs', 'totalMs', 'pathsPerSecond', 'pathsPerEngineSecond']) {
    t.is(typeof report[figure], 'number', figure)
  }
})

test('ls shows the children of a prefix, folders rolled up', async (t) => {
  await index(t)
  t.is(await succeed(t, 'ls', t.context.database), 'lib.txt\nlib/\nlib64/\nreadme.txt\n')
  t.is(await succeed(t, 'ls', t.context.database, 'lib/'), 'lib/a.so\nlib/deep/\n')
})

test('ls --json tells folders from paths', async (t) => {
  await index(t)
  const listed = await succeedJson(t, 'ls', t.context.database, 'lib')
  t.deepEqual(listed, {
    prefix: 'lib',
    entries: [
      { path: 'lib.txt', isPrefix: false },
      { path: 'lib/', isPrefix: true },
      { path: 'lib64/', isPrefix: true },
    ],
  })
})

test('ls --long shows type, mode, size and time', async (t) => {
  await index(t)
  const lines = (await succeed(t, 'ls', '--long', t.context.database)).trimEnd().split('\n')
  t.is(lines.length, 4)
  t.regex(lines[3] ?? '', /^file +0640 +5 +2023-11-14 22:13:20 +readme\.txt$/)
})

test('ls of a folder larger than one page shows every child once, in order', async (t) => {
  const names = Array.from({ length: 2500 }, (_, i) => `file-${String(i).padStart(5, '0')}`)
  await mkdir(path.join(t.context.folder, 'many'))
  await Promise.all(names.map((name) => writeFile(path.join(t.context.folder, 'many', name), '')))
  await index(t)
  t.deepEqual(
    await listedPaths(t, 'many/'),
    names.map((name) => `many/${name}`),
  )
})

test('get shows the record of a path', async (t) => {
  await index(t)
  const record = await succeedJson(t, 'get', t.context.database, 'readme.txt')
  t.deepEqual(record, { path: 'readme.txt', type: 'file', size: 5, mode: 0o640, mtime: 1_700_000_000_000 })
  t.regex(await succeed(t, 'get', t.context.database, 'readme.txt'), /^path {3}readme\.txt\ntype {3}file\nsize {3}5 /)
})

test('a time that no calendar reaches is shown as seconds', async (t) => {
  const db = open(t.context.database)
  db.tree().put('far', '{"type":"file","size":1,"mode":420,"mtime":9000000000000000}')
  db.close()
  t.regex(await succeed(t, 'ls', '-l', t.context.database), / @9000000000000 +far\n$/)
  t.regex(await succeed(t, 'get', t.context.database, 'far'), /^mtime +@9000000000000$/m)
})

test('get finds a folder with or without its slash', async (t) => {
  await index(t)
  for (const name of ['lib', 'lib/']) {
    t.like(await succeedJson(t, 'get', t.context.database, name), { path: 'lib/', type: 'directory' })
  }
})

test('get of a path that is not there exits with 3', async (t) => {
  await index(t)
  assertFailure(t, await coppice(['get', t.context.database, 'nope']), 3, /"nope" is not in /)
})

test('count counts the paths under a prefix', async (t) => {
  await index(t)
  t.is(await succeed(t, 'count', t.context.database), '7\n')
  t.is(await succeed(t, 'count', t.context.database, 'lib/'), '4\n')
  t.deepEqual(await succeedJson(t, 'count', t.context.database, 'lib'), { prefix: 'lib', count: 6 })
})

test('du adds up the bytes under each child, largest first', async (t) => {
  await index(t)
  t.deepEqual(await succeedJson(t, 'du', t.context.database), {
    prefix: '',
    bytes: 5022,
    files: 4,
    children: [
      { path: 'lib/', bytes: 5000, files: 2 },
      { path: 'lib.txt', bytes: 17, files: 1 },
      { path: 'readme.txt', bytes: 5, files: 1 },
      { path: 'lib64/', bytes: 0, files: 0 },
    ],
  })
  t.regex(
    await succeed(t, 'du', t.context.database, 'lib/'),
    /^ +2\.9 KiB +1 {2}lib\/a\.so\n.*\n +4\.9 KiB +2 {2}total\n$/,
  )
})

test('stats shows what the engine counts', async (t) => {
  await index(t)
  t.like(await succeedJson(t, 'stats', t.context.database), { keys: 7 })
  t.regex(await succeed(t, 'stats', t.context.database), /^keys +7$/m)
})

test('an index is brought up to date: what is gone is removed, what changed is replaced', async (t) => {
  await index(t)
  await rm(path.join(t.context.folder, 'lib'), { recursive: true })
  await writeFile(path.join(t.context.folder, 'readme.txt'), 'longer than before')
  const report = await succeedJson(t, 'index', t.context.folder, t.context.database)
  t.like(report, { paths: 3, removed: 4 })
  t.deepEqual(await listedPaths(t), ['lib.txt', 'lib64/', 'readme.txt'])
  t.like(await succeedJson(t, 'get', t.context.database, 'readme.txt'), { size: 18 })
})

test('symbolic links are recorded and not followed, loops included', async (t) => {
  await symlink('..', path.join(t.context.folder, 'lib/loop'))
  await symlink('/nowhere', path.join(t.context.folder, 'dangling'))
  const report = await succeedJson(t, 'index', t.context.folder, t.context.database)
  t.like(report, { paths: 9, symlinks: 2, skipped: 0 })
  t.like(await succeedJson(t, 'get', t.context.database, 'lib/loop'), { path: 'lib/loop', type: 'symlink' })
})

test('a database inside the folder is left out of its own index', async (t) => {
  const database = path.join(t.context.folder, 'lib/index.db')
  t.like(await succeedJson(t, 'index', t.context.folder, database), { paths: 7 })
})

if (process.platform === 'linux') {
  test('names that are not UTF-8 keep their bytes', async (t) => {
    const name = Buffer.from('caf\xe9.txt', 'latin1')
    await writeFile(Buffer.concat([Buffer.from(`${t.context.folder}/`), name]), 'x')
    await index(t)
    const { entries } = await succeedJson<ListedJson>(t, 'ls', t.context.database, 'caf')
    t.deepEqual(entries, [{ path: 'caf\ufffd.txt', base64: name.toString('base64'), isPrefix: false }])
    const found = await succeedJson(t, 'get', '--base64', t.context.database, name.toString('base64'))
    t.like(found, { type: 'file', size: 1 })
  })

  test('output that cannot be written is a failure that is told', async (t) => {
    await index(t)
    const command = [process.execPath, path.join(root, 'dist/cli.cjs'), 'stats', t.context.database]
    const { code, stderr } = await run('sh', ['-c', '"$@" > /dev/full', 'sh', ...command])
    t.is(code, 1)
    t.regex(stderr, /^coppice: .*ENOSPC/)
  })

  test('names in UTF-8 stay text', async (t) => {
    await writeFile(path.join(t.context.folder, 'żółw 🐢'), 'x')
    await index(t)
    t.like(await succeedJson(t, 'get', t.context.database, 'żółw 🐢'), { path: 'żółw 🐢', type: 'file' })
  })

  test('what cannot be read is counted, named and no failure', async (t) => {
    await mkdir(path.join(t.context.folder, 'secret/inner'), { recursive: true })
    await chmod(path.join(t.context.folder, 'secret'), 0o000)
    await chmod(t.context.base, 0o777)
    const unprivileged = isRoot ? { uid: NOBODY, gid: NOBODY } : {}
    const args = ['index', t.context.folder, t.context.database]
    const { code, stdout, stderr } = await coppice([...args, '--json'], unprivileged)
    t.is(code, 0, stderr)
    t.like(JSON.parse(stdout) as object, {
      paths: 8,
      skipped: 1,
      skippedByCode: { EACCES: 1 },
      skippedExamples: [{ path: 'secret/', code: 'EACCES' }],
    })
    const { stdout: report } = await coppice(args, unprivileged)
    await chmod(path.join(t.context.folder, 'secret'), 0o700)
    t.regex(report, /skipped 1: 1 EACCES\n +EACCES +"secret\/"\n/)
  })
}

test('verify of a sound database says so', async (t) => {
  const { folder, database } = t.context
  await succeed(t, 'index', folder, database)
  t.regex(await succeed(t, 'verify', database), /^sound: [1-9]\d* keys, 1 trees?, \d+ blobs/)
  const report = await succeedJson<{ ok: boolean; problems: unknown[] }>(t, 'verify', database)
  t.deepEqual({ ok: report.ok, problems: report.problems }, { ok: true, problems: [] })
})

/** Makes a database with a damaged value; where that lies. */
async function makeDamaged(database: string): Promise<number> {
  const db = open(database)
  db.tree().put('large', Buffer.alloc(50_000, 7))
  db.close()
  // A value of its own, so that the open, which needs the frames, succeeds.
  const blobs = path.join(database, 'blobs')
  const bytes = await readFile(blobs)
  const at = bytes.indexOf(Buffer.alloc(4096, 7))
  bytes[at + 5000] = 8
  await writeFile(blobs, bytes)
  return at
}

test('verify of a database with a damaged value names the place and exits with 1', async (t) => {
  const { database } = t.context
  const at = await makeDamaged(database)
  const { code, stdout, stderr } = await coppice(['verify', database])
  t.is(code, 1)
  t.true(stdout.startsWith(`blobs:${at}  `), stdout)
  t.regex(stderr, /^coppice: .*: 1 problem\n$/)
  const json = await coppice(['verify', '--json', database])
  t.is(json.code, 1)
  const report = JSON.parse(json.stdout) as { ok: boolean; problems: { file: string; offset: number }[] }
  t.false(report.ok)
  t.deepEqual(
    report.problems.map(({ file, offset }) => ({ file, offset })),
    [{ file: 'blobs', offset: at }],
  )
})

if (process.platform !== 'win32') {
  test('readers that are gone change no exit code', async (t) => {
    const { base, database } = t.context
    await makeDamaged(database)
    const codeWithout = async (stream: 'stdout' | 'stderr', ...args: string[]): Promise<number | null> => {
      const child = spawn(process.execPath, [path.join(root, 'dist/cli.cjs'), ...args], { stdio: 'pipe' })
      child[stream].destroy()
      const [code] = (await once(child, 'exit')) as [number | null]
      return code
    }
    t.is(await codeWithout('stdout', 'count', database), 0)
    t.is(await codeWithout('stdout', 'verify', database), 1)
    t.is(await codeWithout('stdout', 'salvage', database, path.join(base, 'rescued.db')), 1)
    t.is(await codeWithout('stderr', 'verify', path.join(base, 'missing')), 3)
  })
}

test('index removes nothing from a database that holds something else', async (t) => {
  const db = open(t.context.database)
  db.tree().put('orders/1', '{"total":3}')
  db.close()
  assertFailure(t, await coppice(['index', t.context.folder, t.context.database]), 1, /"orders\/1" was not written/)
  const after = open(t.context.database)
  t.deepEqual([...after.tree().keys()], ['orders/1'])
  after.close()
})

test('a missing folder exits with 3 and makes no database', async (t) => {
  const missing = path.join(t.context.folder, 'missing')
  assertFailure(t, await coppice(['index', missing, t.context.database]), 3, /there is no folder .*missing/)
  t.false((await readdir(t.context.base)).includes('index.db'))
})

test('a file in place of the folder is refused', async (t) => {
  const file = path.join(t.context.folder, 'readme.txt')
  assertFailure(t, await coppice(['index', file, t.context.database]), 2, /readme\.txt is not a folder/)
})

test('a database cannot index itself', async (t) => {
  await index(t)
  assertFailure(t, await coppice(['index', t.context.database, t.context.database]), 2, /is the database itself/)
})

for (const command of ['ls', 'count', 'du', 'stats', 'verify']) {
  test(`${command} of a database that is not there exits with 3 and makes none`, async (t) => {
    assertFailure(t, await coppice([command, t.context.database]), 3, /index\.db.*ERR_COPPICE_NOT_FOUND/)
    t.false((await readdir(t.context.base)).includes('index.db'))
  })
}

test('a folder that is no database is refused and left as it was', async (t) => {
  const outcome = await coppice(['ls', t.context.folder])
  assertFailure(t, outcome, 3, /ERR_COPPICE_NOT_FOUND/)
  t.deepEqual((await readdir(t.context.folder)).sort(), ['lib', 'lib.txt', 'lib64', 'readme.txt'])
})

test('a file in place of a database is refused and left as it was', async (t) => {
  const file = path.join(t.context.folder, 'readme.txt')
  for (const command of [
    ['ls', file],
    ['index', t.context.folder, file],
  ]) {
    assertFailure(t, await coppice(command), 2, /readme\.txt is not a folder/)
  }
  t.is(await readFile(file, 'utf8'), 'hello')
})

test('a folder of other things is not made a database', async (t) => {
  const before = await readdir(t.context.folder)
  assertFailure(t, await coppice(['index', t.context.base, t.context.folder]), 2, /ERR_COPPICE_INVALID_ARGUMENT/)
  t.deepEqual(await readdir(t.context.folder), before)
})

test('a path that is too long is refused', async (t) => {
  await index(t)
  assertFailure(t, await coppice(['get', t.context.database, 'x'.repeat(9000)]), 2, /ERR_COPPICE_KEY_TOO_LARGE/)
})

test('a damaged database exits with 5', async (t) => {
  await index(t)
  for (const name of await readdir(t.context.database)) await truncate(path.join(t.context.database, name), 10)
  assertFailure(t, await coppice(['ls', t.context.database]), 5, /ERR_COPPICE_(CORRUPT|INCOMPATIBLE_FORMAT)/)
})

test('a database that another process has open exits with 4', async (t) => {
  await index(t)
  const holder = `
    const { open } = require('./dist/index.cjs')
    const { spawnSync } = require('node:child_process')
    const database = open(process.argv[1])
    const { status, stderr } = spawnSync(process.execPath, ['dist/cli.cjs', 'ls', process.argv[1]])
    process.stderr.write(stderr)
    database.close()
    process.exitCode = status`
  const outcome = await run(process.execPath, ['-e', holder, t.context.database], {
    cwd: new URL('..', import.meta.url),
  })
  assertFailure(t, outcome, 4, /ERR_COPPICE_LOCKED/)
})

test('COPPICE_DEBUG shows the stack trace', async (t) => {
  const { stderr } = await coppice(['ls', t.context.database], { env: { ...process.env, COPPICE_DEBUG: '1' } })
  t.regex(stderr, /^coppice: .+\nCoppiceError: .+\n +at /)
})

test('wrong arguments exit with 2', async (t) => {
  await index(t)
  for (const args of [
    ['count', '--base64', t.context.database, '!!!'],
    ['ls'],
    ['nope'],
    ['ls', 'db', 'a', 'b'],
    ['ls', 'db', '--nope'],
    [],
  ]) {
    const { code, stdout } = await coppice(args)
    t.is(code, 2, args.join(' '))
    t.is(stdout, '')
  }
})

test('--help names every command, the exit codes and an example', async (t) => {
  const help = await succeed(t, '--help')
  for (const word of ['index', 'ls', 'get', 'count', 'du', 'stats', 'verify', 'salvage', 'Exit codes:', 'Examples:']) {
    t.true(help.includes(word), word)
  }
})

for (const command of ['index', 'ls', 'get', 'count', 'du', 'stats', 'verify', 'salvage']) {
  test(`${command} --help has an example`, async (t) => {
    t.regex(await succeed(t, command, '--help'), new RegExp(`Examples:\\n +\\$ coppice ${command} `))
  })
}

test('--version is the version of the package', async (t) => {
  const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  t.is(await succeed(t, '--version'), `${version}\n`)
})
