import test from 'ava'
import { CoppiceError, open, type Tree } from 'coppice'
import { rejectsCode, temporaryFolder, throwsCode, volatile } from './support/database.js'

test('trees are apart from one another', (t) => {
  const db = volatile(t)
  db.tree().put('k', 'default')
  db.tree('a').put('k', 'a')
  db.tree('b').put('k', 'b')
  t.deepEqual(
    [db.tree(), db.tree('a'), db.tree('b')].map((tree) => String(tree.get('k'))),
    ['default', 'a', 'b'],
  )
  t.is(db.tree('a').count(), 1)
  t.is(db.tree('a').name, 'a')
  t.is(db.tree().name, '')
})

test('trees lists names in byte order', (t) => {
  const db = volatile(t)
  for (const name of ['é', 'b', '', 'a/b', '\u{1F333}', '\uFF5E']) db.tree(name)
  t.deepEqual(db.trees(), ['', 'a/b', 'b', 'é', '\uFF5E', '\u{1F333}'])
})

test('handles are cached by name and options', (t) => {
  const db = volatile(t)
  const codec = { name: 'c', encode: (text: string) => text, decode: (bytes: Buffer) => bytes.toString() }
  const handles: (() => unknown)[] = [
    () => db.tree(),
    () => db.tree('a'),
    () => db.tree('a', { encoding: 'utf8' }),
    () => db.tree('a', { encoding: 'json' }),
    () => db.tree('a', { encoding: codec }),
    () => db.tree('a', { keys: 'buffer' }),
    () => db.tree('a', { encoding: 'utf8', keys: 'buffer' }),
    () => db.tree('b', { encoding: 'utf8' }),
    () => db.tree('b', { encoding: { ...codec } }),
  ]
  const first = handles.map((handle) => handle())
  t.is(new Set(first).size, handles.length)
  handles.slice(0, -1).forEach((handle, index) => {
    t.is(handle(), first[index])
  })
  t.is(db.tree(''), db.tree())
})

test('one tree seen through several encodings', (t) => {
  const db = volatile(t)
  db.tree('t', { encoding: 'json' }).put('k', { a: 1 })
  t.is(db.tree('t', { encoding: 'utf8' }).get('k'), '{"a":1}')
  t.deepEqual([...db.tree('t', { encoding: 'utf8', keys: 'buffer' }).entries()], [[Buffer.from('k'), '{"a":1}']])
  t.deepEqual([...db.tree('t', { encoding: 'json', keys: 'buffer' }).values()], [{ a: 1 }])
})

test('a tree name of 1024 bytes is the longest', (t) => {
  const db = volatile(t)
  const longest = 'é'.repeat(512)
  db.tree(longest).put('k', 'v')
  t.deepEqual(db.trees(), [longest])
  throwsCode(t, () => db.tree(`${longest}x`), 'ERR_COPPICE_INVALID_ARGUMENT', /1024/)
})

test('trees that cannot be are refused', (t) => {
  const db = volatile(t)
  // Trees that are open must not answer for names that only read the same.
  db.tree('t')
  db.tree('t', { encoding: 'utf8' })
  const bad: [unknown, unknown, RegExp][] = [
    [1, undefined, /tree name.*1/],
    [null, undefined, /tree name.*null/],
    ['\ud800', undefined, /tree name.*lone surrogate/],
    ['t', { encoding: 'binary' }, /encoding.*"binary"/],
    ['t', { encoding: 'undefined' }, /encoding.*"undefined"/],
    ['t', { encoding: Object.assign(() => '', { toString: () => 'utf8' }) }, /encoding.*function/],
    ['t', { encoding: null }, /encoding.*null/],
    ['t', { encoding: {} }, /encoding.*codec/],
    ['t', { encoding: { name: 'x', encode: () => '' } }, /encoding.*codec/],
    ['t', { keys: 'string' }, /keys.*"string"/],
    ['t', { values: true }, /'values'/],
    ['t', 'utf8', /tree options.*"utf8"/],
    ['t', null, /tree options.*null/],
  ]
  for (const [name, options, message] of bad) {
    throwsCode(t, () => db.tree(name as string, options as never), 'ERR_COPPICE_INVALID_ARGUMENT', message)
    if (name === 't') throwsCode(t, () => db.tree('new', options as never), 'ERR_COPPICE_INVALID_ARGUMENT', message)
  }
  t.deepEqual(db.trees(), ['t'])
})

test('stats has the figures of all trees', (t) => {
  const db = volatile(t)
  db.tree('a').put('k', 'v')
  db.tree('b').put('k', 'v')
  const stats = db.stats()
  t.is(stats.keys, 2)
  t.is(stats.trees, 2)
  const figures = [
    stats.blobs,
    stats.fill,
    ...[stats.depth, stats.memory, stats.journal, stats.disk].flatMap((group) => Object.values(group) as number[]),
    stats.checkpoint.rounds,
    stats.checkpoint.failures,
    stats.checkpoint.bytesWritten,
  ]
  t.true(figures.every((figure) => Number.isFinite(figure) && figure >= 0))
  t.true(stats.fill <= 1)
  t.is(stats.checkpoint.queueDepth, 0)
  t.is(typeof stats.checkpoint.ioUring, 'boolean')
  t.is(stats.checkpoint.lastError, undefined)
})

test.serial('checkpoints that are asked for together share rounds', async (t) => {
  using db = open(await temporaryFolder(t), { checkpoint: { coalesce: { windowMicros: 50_000 } } })
  const tree = db.tree()
  const reports = await Promise.all(
    Array.from({ length: 4 }, (_, index) => {
      tree.put('k', `${index}`)
      return db.checkpoint()
    }),
  )
  for (const report of reports) t.true(report.version >= 1 && report.epochsCoalesced >= 1 && report.durationMs > 0)
  t.true(db.stats().checkpoint.rounds < 4)
})

test('flush and checkpoint resolve', async (t) => {
  const db = open(await temporaryFolder(t))
  t.teardown(() => db.close())
  const version = db.tree().put('k', 'v')
  t.is(await db.flush(), undefined)
  t.is(await db.promises.flush(), undefined)
  const report = await db.checkpoint()
  t.true(report.version >= version)
  t.true(Object.values(report).every((figure: number) => Number.isFinite(figure) && figure >= 0))
  t.true((await db.promises.checkpoint()).version >= version)
})

const uses: [string, (tree: Tree<string>) => unknown][] = [
  ['get', (tree) => tree.get('k')],
  ['getMany', (tree) => tree.getMany(['k'])],
  ['getMany of nothing', (tree) => tree.getMany([])],
  ['has', (tree) => tree.has('k')],
  ['record', (tree) => tree.record('k')],
  ['longestPrefix', (tree) => tree.longestPrefix('k')],
  ['put', (tree) => tree.put('k', 'v')],
  ['put with a condition', (tree) => tree.put('k', 'v', { ifAbsent: true })],
  ['putMany', (tree) => tree.putMany([['k', 'v']])],
  ['putMany of nothing', (tree) => tree.putMany([])],
  ['delete', (tree) => tree.delete('k')],
  ['keys', (tree) => tree.keys()],
  ['values', (tree) => tree.values()],
  ['entries', (tree) => tree.entries()],
  ['records', (tree) => tree.records()],
  ['list', (tree) => tree.list()],
  ['list of nothing', (tree) => tree.list({ limit: 0 })],
  ['count', (tree) => tree.count()],
  ['isEmpty', (tree) => tree.isEmpty()],
]

for (const [name, use] of uses) {
  test(`${name} after close is refused, and the path named`, (t) => {
    const db = open(':memory:')
    const tree = db.tree('t', { encoding: 'utf8' })
    use(tree)
    db.close()
    throwsCode(t, () => use(tree), 'ERR_COPPICE_CLOSED', /':memory:' is closed/)
  })
}

test('a closed database takes nothing', async (t) => {
  const db = open(':memory:')
  db.tree()
  db.close()
  throwsCode(t, () => db.tree(), 'ERR_COPPICE_CLOSED')
  throwsCode(t, () => db.trees(), 'ERR_COPPICE_CLOSED')
  throwsCode(t, () => db.stats(), 'ERR_COPPICE_CLOSED')
  await rejectsCode(t, () => db.flush(), 'ERR_COPPICE_CLOSED')
  await rejectsCode(t, () => db.checkpoint(), 'ERR_COPPICE_CLOSED')
  await rejectsCode(t, () => db.promises.flush(), 'ERR_COPPICE_CLOSED')
  await rejectsCode(t, () => db.promises.checkpoint(), 'ERR_COPPICE_CLOSED')
})

test('work that was started before a close ends before it', async (t) => {
  const folder = await temporaryFolder(t)
  for (const close of ['close', 'promises.close']) {
    const db = open(folder)
    const version = db.tree().put('k', close)
    const work = [db.flush(), db.checkpoint(), db.flush()] as const
    const closed = close === 'close' ? db.close() : db.promises.close()
    const [, report] = await Promise.all(work)
    t.true(report.version >= version)
    await closed
  }
})

test('closing again does nothing', async (t) => {
  const db = open(':memory:')
  db.close()
  t.notThrows(() => db.close())
  t.is(await db.promises.close(), undefined)
  t.notThrows(() => db[Symbol.dispose]())
  const other = open(':memory:')
  await Promise.all([other.promises.close(), other.promises.close()])
  other.close()
  throwsCode(t, () => other.trees(), 'ERR_COPPICE_CLOSED')
})

test('promises.close closes to new calls at once', async (t) => {
  const db = open(':memory:')
  const tree = db.tree()
  const closing = db.promises.close()
  throwsCode(t, () => tree.get('k'), 'ERR_COPPICE_CLOSED')
  await closing
})

test('closing one handle leaves others of the process alone', (t) => {
  const kept = volatile(t)
  const closed = open(':memory:')
  closed.close()
  const opened = volatile(t)
  kept.tree().put('k', 'kept')
  opened.tree().put('k', 'opened')
  t.is(String(kept.tree().get('k')), 'kept')
  throwsCode(t, () => closed.trees(), 'ERR_COPPICE_CLOSED')
})

test('using closes at the end of a block', async (t) => {
  const left: Tree<Buffer, string | Uint8Array>[] = []
  {
    using db = open(':memory:')
    left.push(db.tree())
  }
  {
    await using db = open(':memory:')
    left.push(db.tree())
  }
  for (const tree of left) throwsCode(t, () => tree.get('k'), 'ERR_COPPICE_CLOSED')
})

test('errors are of one class, with a stable code and a name', (t) => {
  const error = t.throws(() => open(''))
  t.true(error instanceof CoppiceError && error instanceof Error)
  t.is(error.name, 'CoppiceError')
  t.is((error as CoppiceError).code, 'ERR_COPPICE_INVALID_ARGUMENT')
  t.regex(error.stack as string, /^CoppiceError: /)
  t.deepEqual(Object.keys(error), ['code'])
})
