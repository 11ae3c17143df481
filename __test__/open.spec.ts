import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import test from 'ava'
import { open } from 'coppice'
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
