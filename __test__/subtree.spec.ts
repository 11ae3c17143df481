import { Worker } from 'node:worker_threads'
import test from 'ava'
import { open, type Tree } from 'coppice'
import { temporaryFolder, throwsCode, volatile } from './support/database.js'

function fill(tree: Tree<string>, prefix: string, count: number): void {
  tree.putMany(Array.from({ length: count }, (_, number) => [`${prefix}${number % 7}/${number}`, `${number}`] as const))
}

test('movePrefix moves every key and its version', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  fill(tree, 'from/', 3000)
  const version = tree.put('from/', 'the prefix itself')
  tree.put('from', 'not below')
  t.is(tree.movePrefix('from/', 'to/a/deeper/place/'), 3001)
  t.is(tree.count('from/'), 0)
  t.is(tree.get('from'), 'not below')
  t.is(tree.count('to/a/deeper/place/'), 3001)
  t.is(tree.get('to/a/deeper/place/3/17'), '17')
  t.deepEqual(tree.record('to/a/deeper/place/'), { value: 'the prefix itself', version })
  t.is(tree.movePrefix('from/', 'elsewhere/'), 0)
  t.is(tree.movePrefix('to/a/deeper/place/', 'from/'), 3001)
  t.deepEqual(tree.list({ delimiter: '/' }), { keys: ['from'], prefixes: ['from/'] })
})

test('movePrefix takes any bytes, and prefixes that end within a name', (t) => {
  const tree = volatile(t).tree('t', { keys: 'buffer' })
  const keys = [[0], [0, 0], [0, 255], [0, 255, 255], [255]].map((bytes) => Buffer.from(bytes))
  for (const key of keys) tree.put(key, key)
  t.is(tree.movePrefix(Buffer.from([0]), Buffer.from([254, 0])), 4)
  t.deepEqual(
    [...tree.keys()],
    [[254, 0], [254, 0, 0], [254, 0, 255], [254, 0, 255, 255], [255]].map((bytes) => Buffer.from(bytes)),
  )
  t.is(tree.movePrefix(Buffer.from([254, 0, 255]), Buffer.from([1])), 2)
  t.deepEqual(tree.get(Buffer.from([1, 255])), Buffer.from([0, 255, 255]))
  tree.put('n\uFFFDme', '1')
  t.is(tree.movePrefix('n\uFFFD', 'na'), 1)
  t.true(tree.has('name'))
})

test('a move that cannot be changes nothing', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  fill(tree, 'a/', 100)
  tree.put('b/x', '')
  tree.put(`a/${'x'.repeat(8190)}`, 'longest')
  const before = [...tree.records()]
  for (const [from, to] of [
    ['a/', 'a/'],
    ['a/', 'a/b/'],
    ['a/b/', 'a/'],
    ['', 'x'],
    ['x', ''],
  ] as const) {
    throwsCode(t, () => tree.movePrefix(from, to), 'ERR_COPPICE_INVALID_ARGUMENT', /contains/)
  }
  throwsCode(t, () => tree.movePrefix('a/', 'b/'), 'ERR_COPPICE_NOT_EMPTY', /b\//)
  throwsCode(t, () => tree.movePrefix('a/', 'b/x'), 'ERR_COPPICE_NOT_EMPTY', /b\/x/)
  throwsCode(t, () => tree.movePrefix('a/', 'longer/'), 'ERR_COPPICE_KEY_TOO_LARGE', /8192/)
  throwsCode(t, () => tree.movePrefix('a/', 'x'.repeat(8193)), 'ERR_COPPICE_KEY_TOO_LARGE', /to/)
  for (const bad of [undefined, null, 5, '\uD800'] as unknown[] as string[]) {
    throwsCode(t, () => tree.movePrefix(bad, 'x'), 'ERR_COPPICE_INVALID_ARGUMENT', /from/)
    throwsCode(t, () => tree.movePrefix('x', bad), 'ERR_COPPICE_INVALID_ARGUMENT', /to/)
    throwsCode(t, () => tree.deletePrefix(bad), 'ERR_COPPICE_INVALID_ARGUMENT', /prefix/)
  }
  t.deepEqual([...tree.records()], before)
  t.is(tree.movePrefix('a/', 'c/'), 101)
})

test('clonePrefix copies every key with its version, and the sides part', async (t) => {
  const db = open(await temporaryFolder(t))
  const tree = db.tree('t', { encoding: 'utf8' })
  fill(tree, 'from/', 3000)
  tree.put('from/large', 'x'.repeat(100_000))
  const version = tree.put('from/', 'the prefix itself')
  const before = [...tree.records({ prefix: 'from/' })]
  t.is(tree.clonePrefix('from/', 'to/a/deeper/place/'), 3002)
  t.is(tree.clonePrefix('from/', 'beside/'), 3002)
  t.is(tree.movePrefix('beside/', 'from/within/'), 3002)
  t.is(tree.clonePrefix('none/', 'nowhere/'), 0)
  t.is(tree.count(), 3 * 3002)
  t.deepEqual(tree.record('to/a/deeper/place/'), { value: 'the prefix itself', version })
  t.is(tree.put('next', ''), version + 4)
  tree.put('to/a/deeper/place/3/17', 'written')
  tree.delete('from/within/large')
  tree.delete('from/2/9')
  t.deepEqual([tree.get('from/3/17'), tree.get('from/within/3/17')], ['17', '17'])
  t.deepEqual(
    [tree.get('from/2/9'), tree.get('from/within/2/9'), tree.get('to/a/deeper/place/2/9')],
    [undefined, '9', '9'],
  )
  t.is(tree.get('from/large')?.length, 100_000)
  t.is(tree.deletePrefix('from/'), 3001 + 3001)
  await db.checkpoint()
  t.deepEqual((await db.verify()).problems, [])
  await db.promises.close()
  using again = open(db.path)
  const reopened = again.tree('t', { encoding: 'utf8' })
  const copies = [...reopened.records({ prefix: 'to/' })].map(({ key, ...record }) => ({
    key: key.replace('to/a/deeper/place/', 'from/'),
    ...record,
  }))
  const written = copies.find(({ key }) => key === 'from/3/17')
  t.is(written?.value, 'written')
  const others = <T extends { key: string }>(records: T[]) => records.filter(({ key }) => key !== 'from/3/17')
  t.deepEqual(others(copies), others(before))
  t.deepEqual((await again.verify()).problems, [])
})

test('a clone that cannot be changes nothing', (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  fill(tree, 'a/', 100)
  tree.put('b/x', '')
  tree.put(`a/${'x'.repeat(8190)}`, 'longest')
  const before = [...tree.records()]
  for (const [from, to] of [
    ['a/', 'a/'],
    ['a/', 'a/copy/'],
    ['a/', 'a'],
    ['', 'x'],
    ['x', ''],
  ] as const) {
    const named = new RegExp(`"${from}" and "${to}" one contains the other`)
    throwsCode(t, () => tree.clonePrefix(from, to), 'ERR_COPPICE_INVALID_ARGUMENT', named)
  }
  for (const to of ['b/', 'b/x'] as const) {
    throwsCode(t, () => tree.clonePrefix('a/', to), 'ERR_COPPICE_NOT_EMPTY')
  }
  throwsCode(t, () => tree.clonePrefix('a/', 'copies/'), 'ERR_COPPICE_KEY_TOO_LARGE', /8192/)
  throwsCode(t, () => tree.clonePrefix('a/', 'x'.repeat(8193)), 'ERR_COPPICE_KEY_TOO_LARGE', /to/)
  for (const bad of [undefined, null, 5, '\uD800'] as unknown[] as string[]) {
    throwsCode(t, () => tree.clonePrefix(bad, 'x'), 'ERR_COPPICE_INVALID_ARGUMENT', /from/)
    throwsCode(t, () => tree.clonePrefix('x', bad), 'ERR_COPPICE_INVALID_ARGUMENT', /to/)
  }
  t.deepEqual([...tree.records()], before)
  t.is(tree.clonePrefix('a/', 'c/'), 101)
})

test('clonePrefix takes no room for what it shares, and gives nothing back that is shared', async (t) => {
  const db = volatile(t)
  const tree = db.tree('t', { encoding: 'utf8' })
  fill(tree, 'a/', 20_000)
  const alone = db.stats().blobs
  for (let number = 0; number < 20; number++) tree.clonePrefix('a/', `b${number}/`)
  t.is(tree.count(), 21 * 20_000)
  t.true(db.stats().blobs < alone + 80)
  tree.deletePrefix('a/')
  await db.compact()
  t.is(tree.count('b7/'), 20_000)
  t.is(tree.get('b7/3/17'), '17')
  t.deepEqual((await db.verify()).problems, [])
})

test('deletePrefix removes every key under it, and space comes back', async (t) => {
  const db = volatile(t)
  const tree = db.tree('t', { encoding: 'utf8' })
  tree.put('kept', '1')
  fill(tree, 'goes/', 20_000)
  tree.put('goes/large', 'x'.repeat(1 << 20))
  t.is(tree.deletePrefix('goes/'), 20_001)
  t.is(tree.deletePrefix('goes/'), 0)
  t.deepEqual([...tree.keys()], ['kept'])
  t.is(db.stats().keys, 1)
  const end = Date.now() + 30_000
  while (db.stats().blobs > 5 && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 10))
  t.true(db.stats().blobs <= 5, `${db.stats().blobs} blobs are left`)
  t.is(tree.deletePrefix(''), 1)
  t.true(tree.isEmpty())
})

test('moves and deletes of prefixes are there after a close', async (t) => {
  const path = await temporaryFolder(t)
  const first = open(path)
  const tree = first.tree('t', { encoding: 'utf8' })
  fill(tree, 'a/', 5000)
  fill(tree, 'b/', 5000)
  tree.movePrefix('a/', 'moved/')
  tree.deletePrefix('b/')
  first.dropTree('')
  first.close()
  using again = open(path)
  const found = again.tree('t', { encoding: 'utf8' })
  t.is(found.count('moved/'), 5000)
  t.is(found.count(), 5000)
  t.is(found.get('moved/3/3'), '3')
})

test('dropTree removes a tree and ends its handles', (t) => {
  const db = volatile(t)
  t.false(db.dropTree('t'))
  const tree = db.tree('t', { encoding: 'utf8' })
  const asBytes = db.tree('t')
  fill(tree, '', 100)
  db.tree('other').put('k', 'v')
  t.true(db.dropTree('t'))
  t.false(db.dropTree('t'))
  t.deepEqual(db.trees(), ['other'])
  for (const use of [
    () => tree.get('0/0'),
    () => asBytes.get('absent'),
    () => tree.put('k', 'v'),
    () => tree.delete('k'),
    () => tree.count(),
    () => [...tree.keys()],
    () => tree.list(),
    () => tree.movePrefix('a', 'b'),
    () => tree.deletePrefix(''),
    () => tree.putMany([['k', 'v']]),
    () => db.batch().put(tree, 'k', 'v').commit(),
  ]) {
    throwsCode(t, use, 'ERR_COPPICE_TREE_DROPPED', /'t'/)
  }
  const again = db.tree('t', { encoding: 'utf8' })
  t.not(again, tree)
  t.is(again.count(), 0)
  again.put('k', 'new')
  t.is(db.tree('t', { encoding: 'utf8' }), again)
  throwsCode(t, () => tree.get('k'), 'ERR_COPPICE_TREE_DROPPED', /'t'/)
  throwsCode(t, () => db.dropTree(5 as unknown as string), 'ERR_COPPICE_INVALID_ARGUMENT', /tree name/)
})

test('a handle in another thread ends too', async (t) => {
  const path = await temporaryFolder(t)
  using db = open(path)
  db.tree('t').put('k', 'v')
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads')
    const { open } = require(workerData.main)
    const db = open(workerData.path)
    const tree = db.tree('t')
    parentPort.postMessage(String(tree.get('k')))
    parentPort.once('message', () => {
      try { tree.get('k') } catch (error) { parentPort.postMessage(error.code) }
      parentPort.postMessage(db.tree('t').count())
      db.close()
    })`,
    { eval: true, workerData: { path, main: new URL('../dist/index.cjs', import.meta.url).pathname } },
  )
  const answers: unknown[] = []
  await new Promise<void>((resolve, reject) => {
    worker.on('error', reject)
    worker.on('exit', () => resolve())
    worker.on('message', (answer) => {
      answers.push(answer)
      if (answers.length > 1) return
      db.dropTree('t')
      worker.postMessage('go')
    })
  })
  t.deepEqual(answers, ['v', 'ERR_COPPICE_TREE_DROPPED', 0])
})

test('a batch moves and deletes prefixes, and sees what came before', (t) => {
  const db = volatile(t)
  const tree = db.tree('t', { encoding: 'utf8' })
  fill(tree, 'a/', 3000)
  fill(tree, 'b/', 3000)
  const before = [...tree.records()]
  t.deepEqual(
    db
      .batch()
      .deletePrefix(tree, 'b/')
      .movePrefix(tree, 'a/', 'b/')
      .put(tree, 'b/new', '1')
      .movePrefix(tree, 'b/3/', 'c/')
      .assertAbsent(tree, 'b/new')
      .commit(),
    { committed: false, failed: 4 },
  )
  t.deepEqual([...tree.records()], before)
  const refused = () => db.batch().deletePrefix(tree, 'b/1').movePrefix(tree, 'a/', 'b/').commit()
  throwsCode(t, refused, 'ERR_COPPICE_NOT_EMPTY', /operation 1/)
  t.deepEqual([...tree.records()], before)
  const done = db.batch().deletePrefix(tree, 'b/').movePrefix(tree, 'a/', 'b/').put(tree, 'b/new', '1').commit()
  t.true(done.committed)
  t.is(tree.count(), 3001)
  t.is(tree.count('b/'), 3001)
})
