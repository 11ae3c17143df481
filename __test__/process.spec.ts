import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { open } from 'coppice'
import { forkFixture } from './support/command.js'
import { temporaryFolder, throwsCode } from './support/database.js'

const worker = new URL('./fixtures/worker.mjs', import.meta.url)

/** Another process that opens the folder, puts one record and says so; then it does as `ending` says. */
async function otherProcess(t: ExecutionContext, folder: string, ending: string): Promise<ChildProcess> {
  const child = forkFixture('holder.mjs', [folder, ending])
  t.teardown(() => child.kill('SIGKILL'))
  const [message] = await once(child, 'message')
  t.is(message, 'written')
  return child
}

test('a database that another process has open is locked', async (t) => {
  const folder = await temporaryFolder(t)
  const child = await otherProcess(t, folder, 'wait')
  // Windows lets nobody read a locked file.
  const named = process.platform === 'win32' ? 'is in use' : `is in use by process ${child.pid} on `
  throwsCode(t, () => open(folder), 'ERR_COPPICE_LOCKED', new RegExp(named))
  child.send('go')
  await once(child, 'exit')
  using db = open(folder)
  t.is(String(db.tree().get('k')), 'v')
})

for (const ending of ['SIGKILL', 'SIGTERM', 'process.exit', 'throw', 'return']) {
  test(`what was written is there after a process ended by ${ending} without closing`, async (t) => {
    const folder = await temporaryFolder(t)
    const child = await otherProcess(t, folder, ending)
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    using db = open(folder)
    t.is(String(db.tree().get('k')), 'v')
    t.is(db.tree().count(), 1001)
  })
}

test('a process that is killed in the middle of batches leaves each whole or undone', async (t) => {
  const folder = await temporaryFolder(t)
  for (const delay of [0, 20, 60]) {
    const child = forkFixture('batcher.mjs', [folder])
    t.teardown(() => child.kill('SIGKILL'))
    await once(child, 'message')
    await setTimeout(delay)
    child.kill('SIGKILL')
    await once(child, 'exit')
    using db = open(folder)
    const [one, other] = ['one', 'other'].map((name) => [...db.tree(name, { encoding: 'utf8' }).records()])
    t.true((one ?? []).length === 51)
    t.deepEqual(other, one)
  }
})

/** A worker thread that opens the folder, puts `key`, and ends without closing. */
async function inWorker(folder: string, key: string): Promise<void> {
  const thread = new Worker(worker, { workerData: { folder, key }, execArgv: [] })
  await once(thread, 'exit')
}

test('worker threads share the engine of their process', async (t) => {
  const folder = await temporaryFolder(t)
  using db = open(folder)
  const tree = db.tree('', { encoding: 'utf8' })
  await Promise.all(['a', 'b', 'c'].map((key) => inWorker(folder, key)))
  t.deepEqual(
    [...tree.entries()],
    ['a', 'b', 'c'].map((key) => [key, `from ${key}`]),
  )
})

test('a database that only a worker had open is released when the worker ends', async (t) => {
  const folder = await temporaryFolder(t)
  await inWorker(folder, 'k')
  const child = await otherProcess(t, folder, 'return')
  if (child.exitCode === null) await once(child, 'exit')
  t.is(child.exitCode, 0)
})

test('a worker that is terminated in the middle of writing harms nobody', async (t) => {
  const folder = await temporaryFolder(t)
  using db = open(folder)
  const thread = new Worker(worker, { workerData: { folder, key: 'forever' }, execArgv: [] })
  await once(thread, 'message')
  await thread.terminate()
  const tree = db.tree('', { encoding: 'utf8' })
  tree.put('mine', 'still here')
  t.is(tree.get('mine'), 'still here')
  t.true(tree.count('forever/') > 0)
})
