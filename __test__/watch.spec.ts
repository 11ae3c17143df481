// What watchers of a tree are told, and how their watching ends.

import { execFile } from 'node:child_process'
import { on, once } from 'node:events'
import { setTimeout as later } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { type Change, open } from 'coppice'
import { copyDatabase, rejectsCode, temporaryFolder, throwsCode, volatile } from './support/database.js'

const watcher = fileURLToPath(new URL('./fixtures/watcher.mjs', import.meta.url))

/** The next so many changes. */
async function take<V, K>(watch: AsyncIterator<Change<V, K>>, count: number): Promise<Change<V, K>[]> {
  const changes: Change<V, K>[] = []
  while (changes.length < count) {
    const { value, done } = await watch.next()
    if (done) break
    changes.push(value)
  }
  return changes
}

/** A folder's database, and a tree of text in it. */
async function stored(t: ExecutionContext) {
  const folder = await temporaryFolder(t)
  const db = open(folder)
  t.teardown(() => db.close())
  return { folder, db, tree: db.tree('t', { encoding: 'utf8' }) }
}

test('every kind of change is told in commit order, with keys and values as the tree has them', async (t) => {
  const db = volatile(t)
  const tree = db.tree<{ n: number }>('t', { encoding: 'json' })
  const watch = tree.watch()
  const first = tree.put('a/1', { n: 1 })
  tree.delete('a/1')
  tree.putMany([
    ['b/1', { n: 2 }],
    ['b/2', { n: 3 }],
  ])
  tree.rename('b/1', 'b/ä')
  tree.movePrefix('b/', 'c/')
  tree.clonePrefix('c/', 'd/')
  tree.deletePrefix('c/')
  t.deepEqual(await take(watch, 9), [
    { type: 'put', key: 'a/1', value: { n: 1 }, version: first },
    { type: 'delete', key: 'a/1', version: first + 1 },
    { type: 'put', key: 'b/1', value: { n: 2 }, version: first + 2 },
    { type: 'put', key: 'b/2', value: { n: 3 }, version: first + 3 },
    { type: 'delete', key: 'b/1', version: first + 4 },
    { type: 'put', key: 'b/ä', value: { n: 2 }, version: first + 4 },
    { type: 'movePrefix', from: 'b/', to: 'c/', version: first + 5 },
    { type: 'clonePrefix', from: 'c/', to: 'd/', version: first + 6 },
    { type: 'deletePrefix', prefix: 'c/', version: first + 7 },
  ])
})

test('keys come as Buffers where the tree has them so, and one that is no text is refused elsewhere, in its turn', async (t) => {
  const db = volatile(t)
  const bytes = db.tree('t', { keys: 'buffer' })
  const [told, refused] = [bytes.watch(), db.tree('t').watch()]
  bytes.put('text', 'v')
  bytes.put(Buffer.from([0xff, 0]), 'w')
  const [text, binary] = await take(told, 2)
  t.deepEqual(text, {
    type: 'put',
    key: Buffer.from('text'),
    value: Buffer.from('v'),
    version: text?.version as number,
  })
  t.deepEqual(binary?.type === 'put' && binary.key, Buffer.from([0xff, 0]))
  t.is((await take(refused, 1))[0]?.type, 'put')
  await rejectsCode(t, () => refused.next(), 'ERR_COPPICE_INVALID_ARGUMENT')
  t.true((await refused.next()).done)
})

test('what waits is told at once when it comes, and many calls of next are answered in order', async (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  const watch = tree.watch()
  const waiting = [watch.next(), watch.next(), watch.next()]
  for (const key of ['a', 'b', 'c']) {
    await later(1)
    tree.put(key, 'v')
  }
  const keys = (await Promise.all(waiting)).map(({ value }) => value?.type === 'put' && value.key)
  t.deepEqual(keys, ['a', 'b', 'c'])
})

test('a batch and a transaction are told in order under one version', async (t) => {
  const db = volatile(t)
  const tree = db.tree('t', { encoding: 'utf8' })
  const watch = tree.watch()
  const result = db.batch().put(tree, 'b', '1').put(tree, 'a', '2').delete(tree, 'b').commit()
  db.transact((tx) => {
    tx.put(tree, 'x', '3')
    tx.put(tree, 'w', '4')
  })
  const changes = await take(watch, 5)
  const version = result.committed ? result.version : 0
  t.deepEqual(
    changes.map((change) => [change.type, 'key' in change && change.key, change.version]),
    [
      ['put', 'b', version],
      ['put', 'a', version],
      ['delete', 'b', version],
      ['put', 'x', version + 1],
      ['put', 'w', version + 1],
    ],
  )
})

test('only what touches the prefix is told, and moves across its border as they were made', async (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  tree.put('out/1', 'v')
  tree.put('in/a/1', 'v')
  const watch = tree.watch({ prefix: Buffer.from('in/') })
  tree.put('in', 'beside')
  tree.put('out/2', 'beside')
  tree.movePrefix('in/a/', 'gone/')
  tree.clonePrefix('gone/', 'out/3/')
  tree.clonePrefix('gone/', 'in/c/')
  tree.clonePrefix('in/c/', 'elsewhere/')
  tree.movePrefix('out/', 'in/b/')
  tree.deletePrefix('i')
  const changes = (await take(watch, 4)).map(({ version: _, ...change }) => change)
  t.deepEqual(changes as unknown[], [
    { type: 'movePrefix', from: 'in/a/', to: 'gone/' },
    { type: 'clonePrefix', from: 'gone/', to: 'in/c/' },
    { type: 'movePrefix', from: 'out/', to: 'in/b/' },
    { type: 'deletePrefix', prefix: 'i' },
  ])
})

test('after a version, what came since is told, and joins what comes', async (t) => {
  const { db, tree } = await stored(t)
  const versions = Array.from({ length: 2000 }, (_, index) => tree.put(`k${index}`, 'v'.repeat(100)))
  const after = versions[41] as number
  const watch = tree.watch({ after })
  for (let index = 0; index < 100; index++) versions.push(tree.put(`live${index}`, 'v'))
  const told = await take(watch, versions.length - 42)
  t.deepEqual(
    told.map(({ version }) => version),
    versions.slice(42),
  )
  await db.checkpoint()
  const last = versions.at(-1) as number
  throwsCode(t, () => tree.watch({ after }), 'ERR_COPPICE_INVALID_ARGUMENT', new RegExp(`after ${last}\\b`))
  throwsCode(t, () => tree.watch({ after: last + 1 }), 'ERR_COPPICE_INVALID_ARGUMENT', /last commit/)
  const current = tree.watch({ after: last })
  tree.put('next', 'v')
  t.is((await take(current, 1))[0]?.version, last + 1)
})

test('a watch goes on where one before a restart ended', async (t) => {
  const { folder, db, tree } = await stored(t)
  const seen = tree.put('seen', 'v')
  tree.put('unseen', 'v')
  // As a process that died leaves it: another engine recovers it from the journal.
  const copy = await temporaryFolder(t)
  await db.flush()
  await copyDatabase(folder, copy)
  using recovered = open(copy)
  const watch = recovered.tree('t', { encoding: 'utf8' }).watch({ after: seen })
  const [change] = await take(watch, 1)
  t.deepEqual(change, { type: 'put', key: 'unseen', value: 'v', version: seen + 1 })
})

test('options that cannot be are refused by the call', (t) => {
  const tree = volatile(t).tree()
  const refused = (options: object, message: RegExp) =>
    throwsCode(t, () => tree.watch(options), 'ERR_COPPICE_INVALID_ARGUMENT', message)
  refused({ after: -1 }, /after/)
  refused({ after: 1.5 }, /after/)
  refused({ prefix: 7 }, /prefix/)
  refused({ prefix: null }, /prefix/)
  refused({ signal: {} }, /signal/)
  refused({ from: 1 }, /from/)
})

test('an abort ends it, whether it waits or not, with the reason as cause', async (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  const controller = new AbortController()
  const [waits, rests] = [tree.watch({ signal: controller.signal }), tree.watch({ signal: controller.signal })]
  const pending = waits.next()
  await later(5)
  tree.delete('nothing')
  controller.abort(new Error('enough'))
  for (const next of [() => pending, () => rests.next()]) {
    const error = await rejectsCode(t, next, 'ERR_COPPICE_ABORTED')
    t.like(error?.cause, { message: 'enough' })
  }
  t.true((await waits.next()).done)
  t.true((await rests.next()).done)
  const late = tree.watch({ signal: controller.signal })
  await rejectsCode(t, () => late.next(), 'ERR_COPPICE_ABORTED')
})

test('break, return and throw end it, and answer what waits', async (t) => {
  const tree = volatile(t).tree('t', { encoding: 'utf8' })
  const watch = tree.watch()
  const pending = watch.next()
  await later(5)
  t.deepEqual(await watch.return?.(), { done: true, value: undefined })
  t.true((await pending).done)
  const thrown = tree.watch()
  await t.throwsAsync(async () => thrown.throw?.(new Error('mine')), { message: 'mine' })
  t.true((await thrown.next()).done)
  const looped = tree.watch()
  tree.put('k', 'v')
  for await (const change of looped) {
    t.is(change.type, 'put')
    break
  }
  t.true((await looped.next()).done)
})

test('a codec that fails ends it with what it threw', async (t) => {
  const db = volatile(t)
  const watch = db.tree('t', { encoding: 'json' }).watch()
  db.tree('t').put('k', 'no JSON')
  await t.throwsAsync(() => watch.next(), { instanceOf: SyntaxError })
  t.true((await watch.next()).done)
})

test('a close ends it behind what was written, though another handle goes on', async (t) => {
  const { folder, db, tree } = await stored(t)
  using other = open(folder)
  const [reads, waits] = [tree.watch(), other.tree('t', { encoding: 'utf8' }).watch()]
  tree.put('before', 'v')
  t.is((await take(waits, 1)).length, 1)
  const pending = waits.next()
  db.close()
  other.tree('t').put('later', 'v')
  t.deepEqual(
    (await take(reads, 9)).map((change) => 'key' in change && change.key),
    ['before'],
  )
  t.is((await pending).value?.type, 'put')
  const last = waits.next()
  await other.promises.close()
  t.true((await last).done)
})

test('a tree that is dropped ends it with an error, behind its last change', async (t) => {
  const db = volatile(t)
  const tree = db.tree('t', { encoding: 'utf8' })
  const watch = tree.watch()
  tree.put('k', 'v')
  db.dropTree('t')
  db.tree('t').put('of another', 'v')
  t.is((await take(watch, 1)).length, 1)
  await rejectsCode(t, () => watch.next(), 'ERR_COPPICE_TREE_DROPPED')
  throwsCode(t, () => tree.watch(), 'ERR_COPPICE_TREE_DROPPED')
})

test('one that is too slow reads on in the journal, and is told where that is gone', async (t) => {
  const { db, tree } = await stored(t)
  const value = 'v'.repeat(100_000)
  const [slow, slower, memory] = [tree.watch(), tree.watch(), volatile(t).tree('t', { encoding: 'utf8' })]
  const inMemory = memory.watch()
  const versions: number[] = []
  for (let index = 0; index < 200; index++) {
    versions.push(tree.put(`k${index}`, value))
    memory.put(`k${index}`, value)
  }
  t.deepEqual(
    (await take(slow, 200)).map(({ version }) => version),
    versions,
  )
  await db.checkpoint()
  await rejectsCode(t, () => slower.next(), 'ERR_COPPICE_FELL_BEHIND')
  await rejectsCode(t, () => inMemory.next(), 'ERR_COPPICE_FELL_BEHIND')
  t.true((await slower.next()).done)
})

test('what threads write is told in others, and one that is terminated harms nobody', async (t) => {
  const { folder, tree } = await stored(t)
  const watch = tree.watch()
  const thread = new Worker(watcher, { workerData: [folder, 'telling'], execArgv: [] })
  const messages = on(thread, 'message')
  await messages.next()
  tree.put('from main', 'v')
  t.deepEqual((await messages.next()).value, ['from main'])
  const writer = new Worker(new URL('./fixtures/worker.mjs', import.meta.url), {
    workerData: { folder, key: 'unwatched' },
    execArgv: [],
  })
  await once(writer, 'exit')
  const pending = thread.terminate()
  for (let index = 0; index < 1000; index++) tree.put(`while it ends ${index}`, 'v')
  await pending
  const told = await take(watch, 1001)
  t.is(told.length, 1001)
  t.deepEqual('key' in (told[1000] as object) && (told[1000] as { key: string }).key, 'while it ends 999')
})

test('a process ends while it watches, unless it waits for a change', async (t) => {
  const run = promisify(execFile)
  const options = { timeout: 100_000, execArgv: [] }
  const folder = await temporaryFolder(t)
  const idle = await run(process.execPath, [watcher, folder, 'idle'], options)
  t.is(idle.stdout, '')
  const waiting = await run(process.execPath, [watcher, folder, 'waiting'], options)
  t.is(waiting.stdout, 'late\n')
})
