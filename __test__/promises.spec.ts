import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { CoppiceError, open, type Promised, type Tree, type TreePromises } from 'coppice'
import { forkFixture, run } from './support/command.js'
import { rejectsCode, temporaryFolder, throwsCode, volatile } from './support/database.js'

const acknowledger = fileURLToPath(new URL('./fixtures/acknowledger.mjs', import.meta.url))

/** Background syncs out of the way, so that every sync is one that somebody waits for. */
const unhurried = { syncInterval: 3_600_000 } as const

type Both = [Tree<Buffer, string>, TreePromises<Buffer, string>]
type Operation = Exclude<keyof Both[1], 'keys' | 'values' | 'entries' | 'records'>
type Alike<A, B> = [A, B] extends [B, A] ? true : false
type Forms = { [M in Operation]: Alike<Both[1][M], Promised<Both[0][M]>> }

test.serial('the event loop is idle while durable writes wait for the disk', async (t) => {
  using db = open(await temporaryFolder(t), { durability: 'disk' })
  const { promises } = db.tree()
  await promises.put('first', 'v')
  const before = performance.eventLoopUtilization()
  // One at a time, so that there is nothing else to do.
  for (let index = 0; index < 50; index++) await promises.put(`${index}`, 'v')
  const { active, idle } = performance.eventLoopUtilization(before)
  t.true(idle > 0, `active for ${active} ms, idle for ${idle} ms`)
})

test('every operation has the type of its synchronous form, with a promise', (t) => {
  const forms: Forms = {
    get: true,
    getMany: true,
    has: true,
    record: true,
    longestPrefix: true,
    list: true,
    count: true,
    isEmpty: true,
    put: true,
    putMany: true,
    delete: true,
    rename: true,
    movePrefix: true,
    clonePrefix: true,
    deletePrefix: true,
  }
  const { promises } = volatile(t).tree() as unknown as { promises: Record<string, unknown> }
  for (const operation of Object.keys(forms)) t.is(typeof promises[operation], 'function', operation)
})

test('promises answer what the synchronous forms do', async (t) => {
  const tree = volatile(t).tree('t', { encoding: 'json' })
  const { promises } = tree
  t.is(tree.promises, promises)
  const version = await promises.put('a/1', { n: 1 })
  t.is(await promises.put('a/1', { n: 2 }, { ifAbsent: true }), undefined)
  t.true(((await promises.put('a/1', { n: 2 }, { ifVersion: version })) ?? 0) > version)
  t.is(
    await promises.putMany([
      ['a/2', 2],
      ['b', 3],
    ]),
    undefined,
  )
  t.deepEqual(await promises.get('a/1'), { n: 2 })
  t.is(await promises.get('none'), undefined)
  t.deepEqual(await promises.getMany(['b', 'none']), [3, undefined])
  t.true(await promises.has('b'))
  t.deepEqual(await promises.record('b'), tree.record('b'))
  t.deepEqual(await promises.longestPrefix('b/x'), tree.longestPrefix('b/x'))
  t.deepEqual(await promises.list({ delimiter: '/' }), { keys: ['b'], prefixes: ['a/'] })
  t.is(await promises.count(), 3)
  t.is(await promises.count('a/'), 2)
  t.false(await promises.isEmpty())
  t.true(await promises.isEmpty('c'))
  t.true(await promises.rename('b', 'c'))
  t.is(await promises.clonePrefix('a/', 'e/'), 2)
  t.is(await promises.movePrefix('e/', 'a/e/'), 2)
  t.is(await promises.movePrefix('a/', 'd/'), 4)
  t.true(await promises.delete('c'))
  t.false(await promises.delete('c'))
  t.is(await promises.deletePrefix('d/'), 4)
  t.true(tree.isEmpty())
})

test('what the synchronous form throws is what the promise rejects with', async (t) => {
  const db = open(':memory:')
  const { promises } = db.tree('t', { encoding: 'utf8' })
  await rejectsCode(t, () => promises.get(1 as never), 'ERR_COPPICE_INVALID_ARGUMENT')
  await rejectsCode(t, () => promises.put('x'.repeat(8193), ''), 'ERR_COPPICE_KEY_TOO_LARGE')
  await rejectsCode(t, () => promises.put('k', 1 as never), 'ERR_COPPICE_INVALID_ARGUMENT')
  await rejectsCode(t, () => promises.putMany(1 as never), 'ERR_COPPICE_INVALID_ARGUMENT')
  await rejectsCode(t, () => promises.movePrefix('a', 'ab'), 'ERR_COPPICE_INVALID_ARGUMENT')
  await rejectsCode(t, () => promises.clonePrefix('a', 5 as never), 'ERR_COPPICE_INVALID_ARGUMENT')
  const error = await rejectsCode(t, () => promises.clonePrefix('a', 'ab'), 'ERR_COPPICE_INVALID_ARGUMENT')
  t.regex(error?.message ?? '', /"a" and "ab"/)
  throwsCode(t, () => promises.keys({ limit: -1 }), 'ERR_COPPICE_INVALID_ARGUMENT')
  db.close()
  await rejectsCode(t, () => promises.get('k'), 'ERR_COPPICE_CLOSED')
  await rejectsCode(t, () => promises.put('k', 'v'), 'ERR_COPPICE_CLOSED')
  await rejectsCode(t, () => promises.delete('k'), 'ERR_COPPICE_CLOSED')
})

test('writes are visible when the call returns, and resolve in the order of the calls', async (t) => {
  using db = open(await temporaryFolder(t), unhurried)
  const tree = db.tree('', { encoding: 'utf8' })
  const resolved: number[] = []
  const writes = Array.from({ length: 100 }, (_, index) => {
    const write = index % 10 === 9 ? tree.promises.delete(`k${index}`) : tree.promises.put('k', `${index}`)
    if (index % 10 !== 9) t.is(tree.get('k'), `${index}`)
    return write.then(() => resolved.push(index))
  })
  t.deepEqual(resolved, [])
  await Promise.all(writes)
  t.deepEqual(resolved, [...Array(100).keys()])
})

for (const durability of ['process', 'disk'] as const) {
  test(`256 writes of one turn share a sync, and those behind it the next, at '${durability}'`, async (t) => {
    using db = open(await temporaryFolder(t), { ...unhurried, durability })
    const tree = db.tree()
    await tree.promises.put('first', '')
    const before = db.stats().journal.syncs
    const put = (index: number) => tree.promises.put(`k${index}`, 'v')
    const rounds = 8
    // All of a round are waited for: on a slow machine they settle in several turns, and who goes on at once has a sync earlier.
    for (let round = 0; round < rounds; round++) {
      await Promise.all(Array.from({ length: 256 }, (_, writer) => put(writer * rounds + round)))
    }
    const syncs = db.stats().journal.syncs - before
    t.true(syncs >= rounds && syncs <= rounds + 2, `${syncs} syncs`)
    t.is(tree.count('k'), 256 * rounds)
  })

  test(`a promise of a write resolves after a sync, at '${durability}'`, async (t) => {
    using db = open(await temporaryFolder(t), { ...unhurried, durability })
    const tree = db.tree()
    for (const write of [
      () => tree.promises.put('a', 'v'),
      () => tree.promises.putMany([['b', 'v']]),
      () => tree.promises.rename('a', 'c'),
      () => tree.promises.movePrefix('c', 'd'),
      () => tree.promises.clonePrefix('d', 'f'),
      () => tree.promises.delete('d'),
      () => tree.promises.deletePrefix('b'),
      () => db.batch().put(tree, 'e', 'v').commitDurable(),
    ]) {
      const before = db.stats().journal.syncs
      const promise = write()
      t.is(db.stats().journal.syncs, before, 'the call itself must not wait for the disk')
      await promise
      t.is(db.stats().journal.syncs, before + 1)
    }
  })
}

test("a synchronous write waits for the disk at 'disk', also in a codec that a promise form runs", async (t) => {
  using db = open(await temporaryFolder(t), { ...unhurried, durability: 'disk' })
  const log = db.tree('log', { encoding: 'utf8' })
  const syncs: number[] = []
  const encode = (text: string) => {
    const before = db.stats().journal.syncs
    log.put(text, '')
    syncs.push(db.stats().journal.syncs - before)
    return text
  }
  const codec = { name: 'logged', encode, decode: String }
  await db.tree('t', { encoding: codec }).promises.put('k', 'v')
  t.deepEqual(syncs, [1])
})

test("at 'none' nothing is waited for", async (t) => {
  using db = open(await temporaryFolder(t), { durability: 'none' })
  const before = db.stats().journal.syncs
  await db.tree().promises.put('k', 'v')
  t.is(db.stats().journal.syncs, before)
})

for (const close of ['close', 'promises.close'] as const) {
  test(`${close} settles the promises in flight, and nothing acknowledged is lost`, async (t) => {
    const folder = await temporaryFolder(t)
    const db = open(folder, { ...unhurried, durability: 'disk' })
    const { promises } = db.tree()
    const writes = [promises.put('a', '1')]
    // The sync of the first is under way, the others wait for the next.
    await nextTurn()
    writes.push(promises.put('b', '2'), promises.put('c', '3'))
    const closing = close === 'close' ? db.close() : db.promises.close()
    const versions = await Promise.all(writes)
    await closing
    t.true(versions.every((version, index) => index === 0 || version > (versions[index - 1] ?? 0)))
    await rejectsCode(t, () => promises.put('d', '4'), 'ERR_COPPICE_CLOSED')
    using again = open(folder)
    t.deepEqual([...again.tree().keys()], ['a', 'b', 'c'])
  })
}

test('a worker that is terminated with promises in flight harms nobody', async (t) => {
  const folder = await temporaryFolder(t)
  using db = open(folder)
  const worker = new Worker(acknowledger, { argv: [folder], execArgv: [] })
  await once(worker, 'message')
  await worker.terminate()
  t.true(db.tree().count() >= 64)
  t.true((await db.tree().promises.put('after', 'v')) > 64)
})

test('promises that nobody awaits keep the process until they settle', async (t) => {
  const folder = await temporaryFolder(t)
  const program = `
    import { open } from 'coppice'
    const { promises } = open(process.argv[1], { durability: 'disk' }).tree()
    for (let n = 0; n < 10; n++) promises.put('k' + n, 'v').then(() => process.stdout.write(String(n)))
  `
  const outcome = await run(process.execPath, ['--input-type=module', '--eval', program, folder])
  t.deepEqual(outcome, { code: 0, stdout: '0123456789', stderr: '' })
})

test('what was acknowledged is there after the process is killed', async (t) => {
  const folder = await temporaryFolder(t)
  const child = forkFixture('acknowledger.mjs', [folder])
  t.teardown(() => child.kill('SIGKILL'))
  let acknowledged = 0
  child.on('message', (count) => {
    acknowledged = count as number
    if (acknowledged > 2000) child.kill('SIGKILL')
  })
  await once(child, 'exit')
  using db = open(folder)
  t.true(acknowledged > 2000)
  for (let index = 0; index < acknowledged; index++) t.true(db.tree().has(`${index}`), `${index}`)
})

test('async iterators visit what the synchronous ones do', async (t) => {
  const tree = volatile(t).tree('', { encoding: 'utf8' })
  tree.putMany(Array.from({ length: 3000 }, (_, index) => [`${index}`.padStart(5, '0'), `${index}`] as const))
  const { promises } = tree
  for (const range of [{}, { prefix: '01', reverse: true }, { gte: '00100', limit: 70 }, { limit: 0 }]) {
    t.deepEqual(await gather(promises.keys(range)), [...tree.keys(range)])
    t.deepEqual(await gather(promises.values(range)), [...tree.values(range)])
    t.deepEqual(await gather(promises.entries(range)), [...tree.entries(range)])
    t.deepEqual(await gather(promises.records(range)), [...tree.records(range)])
  }
})

async function gather<T>(items: AsyncIterable<T>): Promise<T[]> {
  const gathered: T[] = []
  for await (const item of items) gathered.push(item)
  return gathered
}

test('async iterators leave the event loop to others between pages', async (t) => {
  const tree = volatile(t).tree()
  tree.putMany(Array.from({ length: 20_000 }, (_, index) => [`${index}`, ''] as const))
  let turns = 0
  let scanning = true
  const others = (async () => {
    for (; scanning; turns++) await nextTurn()
  })()
  await gather(tree.promises.keys())
  scanning = false
  await others
  t.true(turns >= 20_000 / 1024, `${turns} turns`)
})

test('an async iterator of a closed database fails', async (t) => {
  const db = open(':memory:')
  const tree = db.tree()
  tree.put('a', '')
  tree.put('b', '')
  const keys = tree.promises.keys()
  t.deepEqual(await keys.next(), { value: 'a', done: false })
  db.close()
  await rejectsCode(t, () => keys.next(), 'ERR_COPPICE_CLOSED')
  t.deepEqual(await keys.next(), { value: undefined, done: true })
})

test('errors of promises are of the one class', async (t) => {
  const error = await t.throwsAsync(
    volatile(t)
      .tree()
      .promises.put('k', 1 as never),
  )
  t.true(error instanceof CoppiceError)
})
