import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import test from 'ava'
import { CoppiceError, open } from 'coppice'
import { temporaryFolder, throwsCode } from './support/database.js'

test('each volatile database is one of its own', (t) => {
  using first = open(':memory:')
  using second = open(':memory:')
  first.tree().put('k', 'v')
  t.is(second.tree().get('k'), undefined)
  t.is(first.path, ':memory:')
})

test('what was written is there after closing and opening again', async (t) => {
  const folder = path.join(await temporaryFolder(t), 'db')
  const first = open(folder)
  const tree = first.tree('files', { encoding: 'json' })
  const version = tree.put('a/b', { size: 1 })
  tree.put('gone', {})
  tree.delete('gone')
  tree.putMany(Array.from({ length: 3000 }, (_, index) => [`many/${index}`, { index }]))
  first.tree('empty')
  first.close()

  const second = open(folder, { create: false })
  t.is(second.path, folder)
  t.deepEqual(second.trees(), ['empty', 'files'])
  const again = second.tree('files', { encoding: 'json' })
  t.deepEqual(again.record('a/b'), { value: { size: 1 }, version })
  t.false(again.has('gone'))
  t.is(again.count(), 3001)
  t.is(again.count('many/'), 3000)
  t.deepEqual(again.get('many/2999'), { index: 2999 })
  t.true(again.put('a/b', { size: 2 }) > version + 3000)
  second.close()
})

test('closing and opening many times loses nothing', async (t) => {
  const folder = await temporaryFolder(t)
  for (let round = 0; round < 10; round++) {
    using db = open(folder)
    const tree = db.tree('t', { encoding: 'utf8' })
    t.is(tree.count(), round * 100)
    for (let index = 0; index < 100; index++) tree.put(`${round}/${index}`, `${round}`)
    if (round % 2 === 0) tree.put('0/0', `${round}`)
  }
  using db = open(folder)
  t.is(db.tree('t').count(), 1000)
  t.is(String(db.tree('t').get('0/0')), '8')
})

test('create: false wants a database', async (t) => {
  const folder = await temporaryFolder(t)
  const missing = path.join(folder, 'missing')
  throwsCode(t, () => open(missing, { create: false }), 'ERR_COPPICE_NOT_FOUND', /missing/)
  throwsCode(t, () => open(folder, { create: false }), 'ERR_COPPICE_NOT_FOUND')
  t.deepEqual(await readdir(folder), [])
})

test('two handles on one folder share one engine', async (t) => {
  const folder = await temporaryFolder(t)
  const first = open(folder)
  const second = open(`${folder}/../${path.basename(folder)}/`)
  first.tree().put('k', 'v')
  t.is(String(second.tree().get('k')), 'v')
  first.close()
  throwsCode(t, () => first.tree(), 'ERR_COPPICE_CLOSED')
  second.tree().put('k', 'w')
  t.is(String(second.tree().get('k')), 'w')
  second.close()
  using third = open(folder)
  t.is(String(third.tree().get('k')), 'w')
})

test('options are taken', async (t) => {
  const folder = await temporaryFolder(t)
  const variants = [
    {},
    { durability: 'disk' },
    { durability: 'none' },
    { durability: 'process', syncInterval: 1 },
    { memory: '4MiB' },
    { memory: 2 ** 32 },
    { checkpoint: {} },
    { checkpoint: { journalBytes: 65_536 } },
    { checkpoint: { journalBytes: '1MiB' } },
    { checkpoint: { journalBytes: '0.5 GiB' } },
    { checkpoint: { queueDepth: 1, coalesce: {}, ioUring: 'auto' } },
    { checkpoint: { queueDepth: 1024, coalesce: { epochs: 1, windowMicros: 0 }, ioUring: false } },
    { checkpoint: { coalesce: { epochs: 1024, windowMicros: 1_000_000 } } },
    { create: undefined, durability: undefined, syncInterval: undefined, memory: undefined, checkpoint: undefined },
  ]
  for (const [index, options] of variants.entries()) {
    using db = open(path.join(folder, String(index)), options as object)
    db.tree().put('k', 'v')
    t.is(String(db.tree().get('k')), 'v')
  }
})

const impossible: [unknown, RegExp][] = [
  [{ creat: true }, /'creat'.*create, readOnly, durability/],
  [{ memory: 0 }, /memory.*4194304/],
  [{ memory: 4_194_303 }, /memory.*4194304/],
  [{ memory: '1GB' }, /memory.*"1GB"/],
  [{ create: 1 }, /create.*1/],
  [{ create: null }, /create.*null/],
  [{ durability: 'full' }, /durability.*'process', 'disk', 'none'.*"full"/],
  [{ syncInterval: 0 }, /syncInterval.*0/],
  [{ syncInterval: -5 }, /syncInterval.*-5/],
  [{ syncInterval: 1.5 }, /syncInterval/],
  [{ syncInterval: '100' }, /syncInterval/],
  [{ syncInterval: 3_600_001 }, /syncInterval/],
  [{ syncInterval: Number.NaN }, /syncInterval.*NaN/],
  [{ checkpoint: true }, /checkpoint.*true/],
  [{ checkpoint: { queue: 1 } }, /checkpoint.*'queue'/],
  [{ checkpoint: { journalBytes: 0 } }, /journalBytes.*0/],
  [{ checkpoint: { journalBytes: 65_535 } }, /journalBytes.*65536/],
  [{ checkpoint: { journalBytes: 1e20 } }, /journalBytes/],
  [{ checkpoint: { journalBytes: '64MB' } }, /journalBytes.*"64MB"/],
  [{ checkpoint: { journalBytes: '64mib' } }, /journalBytes/],
  [{ checkpoint: { journalBytes: 'MiB' } }, /journalBytes/],
  [{ checkpoint: { journalBytes: '-1MiB' } }, /journalBytes/],
  [{ checkpoint: { journalBytes: '0.3B' } }, /journalBytes/],
  [{ checkpoint: { journalBytes: null } }, /journalBytes.*null/],
  [{ checkpoint: { queueDepth: 0 } }, /checkpoint\.queueDepth.*0/],
  [{ checkpoint: { queueDepth: 1025 } }, /checkpoint\.queueDepth.*1025/],
  [{ checkpoint: { coalesce: 64 } }, /checkpoint\.coalesce.*64/],
  [{ checkpoint: { coalesce: { window: 1 } } }, /checkpoint\.coalesce.*'window'/],
  [{ checkpoint: { coalesce: { epochs: 0 } } }, /checkpoint\.coalesce\.epochs.*0/],
  [{ checkpoint: { coalesce: { windowMicros: -1 } } }, /checkpoint\.coalesce\.windowMicros.*-1/],
  [{ checkpoint: { coalesce: { windowMicros: 0.5 } } }, /checkpoint\.coalesce\.windowMicros.*0\.5/],
  [{ checkpoint: { ioUring: 'yes' } }, /checkpoint\.ioUring.*'auto', true or false.*"yes"/],
  [{ checkpoint: { ioUring: null } }, /checkpoint\.ioUring.*null/],
  [null, /open options.*null/],
  ['disk', /open options.*"disk"/],
  [[], /open options.*array/],
]

test('options that cannot be are refused before anything is made', async (t) => {
  const folder = await temporaryFolder(t)
  for (const [options, message] of impossible) {
    throwsCode(t, () => open(path.join(folder, 'db'), options as object), 'ERR_COPPICE_INVALID_ARGUMENT', message)
    throwsCode(t, () => open(':memory:', options as object), 'ERR_COPPICE_INVALID_ARGUMENT', message)
  }
  t.deepEqual(await readdir(folder), [])
})

test('paths that cannot be are refused', (t) => {
  for (const bad of [undefined, null, 1, {}, Buffer.from('db'), new URL('file:///db'), '', 'a\0b', '\ud800']) {
    throwsCode(t, () => open(bad as string), 'ERR_COPPICE_INVALID_ARGUMENT', /^path must/)
  }
})

test('a file where the folder should be is left alone', async (t) => {
  const file = path.join(await temporaryFolder(t), 'file')
  await writeFile(file, 'not a database')
  throwsCode(t, () => open(file), 'ERR_COPPICE_INVALID_ARGUMENT', /file/)
  t.is(await readFile(file, 'utf8'), 'not a database')
})

test('a folder of other things is left alone', async (t) => {
  const folder = await temporaryFolder(t)
  await writeFile(path.join(folder, 'notes.txt'), 'mine')
  await mkdir(path.join(folder, 'photos'))
  throwsCode(t, () => open(folder), 'ERR_COPPICE_INVALID_ARGUMENT')
  throwsCode(t, () => open(folder, { create: false }), 'ERR_COPPICE_NOT_FOUND')
  t.deepEqual((await readdir(folder)).sort(), ['notes.txt', 'photos'])
})

/** A closed database of 2,000 records, and the names of its files. */
async function closedDatabase(folder: string): Promise<string[]> {
  using db = open(folder)
  db.tree('t').putMany(Array.from({ length: 2000 }, (_, index) => [`k${index}`, `v${index}`]))
  await db.checkpoint()
  db.close()
  const entries = await readdir(folder, { withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

/** True where a database either says what is wrong with it, naming itself, or has all that was put into it. */
function isHonest(folder: string, create: boolean): true | string {
  try {
    using db = open(folder, { create })
    const tree = db.tree('t', { encoding: 'utf8' })
    const wrong = Array.from({ length: 2000 }, (_, index) => index).filter(
      (index) => tree.get(`k${index}`) !== `v${index}`,
    )
    return (wrong.length === 0 && tree.count() === 2000) || `${wrong.length} of ${tree.count()} records are wrong`
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

const damages: [string, (file: string) => Promise<void>][] = [
  ['a truncated file', async (file) => writeFile(file, (await readFile(file)).subarray(0, -1000))],
  [
    'a file cut in half',
    async (file) => writeFile(file, (await readFile(file)).subarray(0, (await readFile(file)).length / 2)),
  ],
  ['an empty file', (file) => writeFile(file, '')],
  ['a foreign file', async (file) => writeFile(file, Buffer.alloc((await readFile(file)).length, 'not a database '))],
  ['a missing file', (file) => rm(file)],
  [
    'a folder in place of a file',
    async (file) => {
      await rm(file)
      await mkdir(file)
    },
  ],
]

for (const [name, damage] of damages) {
  test(`${name} is never answered wrongly, nor made worse`, async (t) => {
    const original = path.join(await temporaryFolder(t), 'db')
    const files = await closedDatabase(original)
    for (const file of files) {
      const folder = path.join(await temporaryFolder(t), 'db')
      await cp(original, folder, { recursive: true })
      await damage(path.join(folder, file))
      const before = await contents(folder)
      for (const create of [false, true]) {
        const answer = isHonest(folder, create)
        t.is(answer, true, file)
        if (file !== 'LOCK') t.deepEqual(await contents(folder), before, file)
      }
    }
  })
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
  t.is(db.tree('t').count(), 2000)
})

test('io_uring is used where it was asked for, or the open fails and makes nothing', async (t) => {
  const folder = await temporaryFolder(t)
  const never = open(path.join(folder, 'never'), { checkpoint: { ioUring: false } })
  t.false(never.stats().checkpoint.ioUring)
  never.close()
  const automatic = open(path.join(folder, 'auto'))
  const available = automatic.stats().checkpoint.ioUring
  automatic.close()
  const always = path.join(folder, 'always')
  if (available) {
    using db = open(always, { checkpoint: { ioUring: true } })
    t.true(db.stats().checkpoint.ioUring)
    db.tree().put('k', 'v')
    t.is((await db.checkpoint()).syncs, 2)
  } else {
    throwsCode(t, () => open(always, { checkpoint: { ioUring: true } }), 'ERR_COPPICE_UNSUPPORTED', /io_uring/)
    t.deepEqual((await readdir(folder)).sort(), ['auto', 'never'])
  }
})

test('what one way of reaching the disk has written, the other reads', async (t) => {
  const folder = await temporaryFolder(t)
  for (const [round, ioUring] of [false, 'auto', false, 'auto'].entries()) {
    using db = open(folder, { checkpoint: { ioUring: ioUring as 'auto' | boolean } })
    const tree = db.tree('t', { encoding: 'utf8' })
    t.is(tree.count(), round * 3000)
    for (let index = 0; index < round * 3000; index += 100) t.is(tree.get(`k${index}`), `v${index}`)
    tree.putMany(Array.from({ length: 3000 }, (_, index) => [`k${round * 3000 + index}`, `v${round * 3000 + index}`]))
    await db.checkpoint()
  }
})
