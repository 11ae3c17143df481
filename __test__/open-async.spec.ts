import { once } from 'node:events'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { open, openAsync, type Progress } from 'coppice'
import { forkFixture } from './support/command.js'
import { rejectsCode, temporaryFolder } from './support/database.js'

const opener = new URL('./fixtures/opener.mjs', import.meta.url)

test('openAsync opens what open does', async (t) => {
  const folder = path.join(await temporaryFolder(t), 'db')
  {
    await using db = await openAsync(folder, { durability: 'disk', signal: new AbortController().signal })
    t.is(db.path, folder)
    db.tree().put('k', 'v')
    using shared = await openAsync(folder)
    t.is(String(shared.tree().get('k')), 'v')
  }
  using again = open(folder)
  t.is(String(again.tree().get('k')), 'v')
  using first = await openAsync(':memory:')
  using second = await openAsync(':memory:')
  first.tree().put('k', 'v')
  t.is(second.tree().count(), 0)
})

test('openAsync rejects with what open throws', async (t) => {
  const folder = await temporaryFolder(t)
  await rejectsCode(t, () => openAsync(path.join(folder, 'none'), { create: false }), 'ERR_COPPICE_NOT_FOUND')
  const inherited = Object.create({ create: false })
  await rejectsCode(t, () => openAsync(path.join(folder, 'none'), inherited), 'ERR_COPPICE_NOT_FOUND')
  await rejectsCode(t, () => openAsync(''), 'ERR_COPPICE_INVALID_ARGUMENT')
  await rejectsCode(t, () => openAsync(folder, { syncInterval: 0 }), 'ERR_COPPICE_INVALID_ARGUMENT')
  await rejectsCode(t, () => openAsync(folder, { onProgress: 1 as never }), 'ERR_COPPICE_INVALID_ARGUMENT')
  await rejectsCode(t, () => openAsync(folder, { progress: () => {} } as never), 'ERR_COPPICE_INVALID_ARGUMENT')
  await rejectsCode(t, () => openAsync(folder, { signal: {} as never }), 'ERR_COPPICE_INVALID_ARGUMENT')
  await t.throwsAsync(() => openAsync(folder, { signal: null as never }), { message: /signal.*null/ })
})

test('an opening that is aborted before it starts leaves nothing behind', async (t) => {
  const folder = path.join(await temporaryFolder(t), 'db')
  const reason = new Error('changed my mind')
  const opening = openAsync(folder, { signal: AbortSignal.abort(reason) })
  const error = await rejectsCode(t, () => opening, 'ERR_COPPICE_ABORTED')
  t.is(error?.cause, reason)
  t.throws(() => open(folder, { create: false }), { code: 'ERR_COPPICE_NOT_FOUND' })
})

/** Whether another process comes to open the folder: it is locked until this one has closed it, in its own time. */
async function isReleased(folder: string): Promise<boolean> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const child = forkFixture('holder.mjs', [folder, 'return'])
    const [code] = await once(child, 'exit')
    if (code === 0) return true
  }
  return false
}

test('an opening that is aborted under way rejects at once, and is closed again', async (t) => {
  const folder = await temporaryFolder(t)
  open(folder).close()
  const controller = new AbortController()
  const opening = openAsync(folder, { signal: controller.signal })
  controller.abort('enough')
  const error = await rejectsCode(t, () => opening, 'ERR_COPPICE_ABORTED')
  t.is(error?.cause, 'enough')
  t.true(await isReleased(folder))
})

test('a worker that is terminated while it opens databases harms nobody, and leaves none open', async (t) => {
  const folders = await Promise.all(Array.from({ length: 4 }, () => temporaryFolder(t)))
  const worker = new Worker(opener, { workerData: folders, execArgv: [] })
  await once(worker, 'message')
  await worker.terminate()
  for (const folder of folders) t.true(await isReleased(folder))
})

/** A folder with a journal of several megabytes to recover. */
async function unfinished(t: ExecutionContext): Promise<string> {
  const folder = await temporaryFolder(t)
  const child = forkFixture('holder.mjs', [folder, 'large'])
  await once(child, 'exit')
  return folder
}

test('an opening tells how far recovery is', async (t) => {
  const folder = await unfinished(t)
  const reports: Progress[] = []
  await using db = await openAsync(folder, { onProgress: (progress) => reports.push(progress) })
  t.is(db.tree().count(), 21_001)
  const last = reports.at(-1)
  t.is(last?.unit, 'bytes')
  t.is(last?.done, last?.total)
  t.true((last?.done ?? 0) > 20_000 * 100)
  for (const [index, { done, total }] of reports.entries()) {
    t.true(done <= total && done >= (reports[index - 1]?.done ?? 0))
  }
  // It is open already: there is nothing to recover.
  const none: Progress[] = []
  await using shared = await openAsync(folder, { onProgress: (progress) => none.push(progress) })
  t.is(shared.tree().count(), 21_001)
  t.deepEqual(none, [])
})

test('what onProgress throws gives the opening up', async (t) => {
  const folder = await unfinished(t)
  const error = new Error('enough')
  const opening = openAsync(folder, {
    onProgress() {
      throw error
    },
  })
  t.is(await t.throwsAsync(opening), error)
  t.true(await isReleased(folder))
})

test('a signal that comes after the opening does nothing', async (t) => {
  const controller = new AbortController()
  await using db = await openAsync(await temporaryFolder(t), { signal: controller.signal })
  controller.abort()
  await setTimeout(1)
  db.tree().put('k', 'v')
  t.is(db.tree().count(), 1)
})
