import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { type BackpressureMessage, type CheckpointMessage, open, openAsync, type RecoveryMessage } from 'coppice'
import { forkFixture, root, run } from './support/command.js'
import { temporaryFolder } from './support/database.js'

// One after the other: who has subscribed is so for all of the process, and a database that hears of one subscriber publishes
// to all, what happened before they came included.

/** Messages of a channel that concern a path, from now on. */
function hear<Message extends { path: string }>(t: ExecutionContext, name: string, path: string): Message[] {
  const heard: Message[] = []
  const listener = (message: unknown) => {
    if ((message as Message).path === path) heard.push(message as Message)
  }
  subscribe(`coppice:${name}`, listener)
  t.teardown(() => unsubscribe(`coppice:${name}`, listener))
  return heard
}

/** Waits for what other threads have told to come by. */
async function until(condition: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 6000 && !condition(); attempt++) await setTimeout(10)
}

test.serial('a checkpoint is published with its report, and so is the one of a close', async (t) => {
  const folder = await temporaryFolder(t)
  const heard = hear<CheckpointMessage>(t, 'checkpoint', folder)
  const db = open(folder)
  db.tree().put('k', 'v')
  const report = await db.checkpoint()
  await until(() => heard.length > 0)
  t.deepEqual(heard, [{ path: folder, report }])
  const version = db.tree().put('k', 'w')
  await db.promises.close()
  await until(() => heard.length > 1)
  t.is(heard[1]?.report.version, version)
})

test.serial('who subscribes later hears what follows the next call, and nobody is told after leaving', async (t) => {
  const folder = await temporaryFolder(t)
  using db = open(folder)
  await db.checkpoint()
  const heard: CheckpointMessage[] = []
  const listener = (message: unknown) => {
    if ((message as CheckpointMessage).path === folder) heard.push(message as CheckpointMessage)
  }
  subscribe('coppice:checkpoint', listener)
  db.tree()
  await db.checkpoint()
  await until(() => heard.length > 0)
  t.is(heard.length, 1)
  unsubscribe('coppice:checkpoint', listener)
  await db.checkpoint()
  await db.checkpoint()
  await setTimeout(20)
  t.is(heard.length, 1)
})

test.serial('recovery is published with what it did, where there was something to do', async (t) => {
  const folder = await temporaryFolder(t)
  const heard = hear<RecoveryMessage>(t, 'recovery', folder)
  const child = forkFixture('holder.mjs', [folder, 'SIGKILL'])
  await once(child, 'exit')
  const db = await openAsync(folder)
  t.is(heard.length, 1)
  const [{ records, bytes, durationMs } = { records: 0, bytes: 0, durationMs: 0 }] = heard
  t.is(records, 1002)
  t.true(bytes > 1002 * 32 && durationMs > 0)
  db.close()
  open(folder).close()
  t.is(heard.length, 1)
})

test.serial('writes that had to wait are published', async (t) => {
  const folder = await temporaryFolder(t)
  const heard = hear<BackpressureMessage>(t, 'backpressure', folder)
  using db = open(folder, { checkpoint: { journalBytes: '64KiB' } })
  const tree = db.tree()
  const stallsSoFar = () => db.stats().journal.stalls
  for (let index = 0; index < 300 || stallsSoFar() === 0; index++) tree.put(`${index}`, Buffer.alloc(4000))
  const stalls = stallsSoFar()
  await until(() => heard.length === stalls)
  t.is(heard.length, stalls)
  t.true(heard.every(({ waitedMs }) => waitedMs > 0))
})

test.serial('a listener does not keep its process', async (t) => {
  const program = `
    const { subscribe } = require('node:diagnostics_channel')
    subscribe('coppice:checkpoint', () => {})
    require(process.argv[1]).open(process.argv[2]).tree().put('k', 'v')`
  const folder = await temporaryFolder(t)
  const { code, stderr } = await run(process.execPath, ['-e', program, `${root}/dist/index.cjs`, folder], {
    timeout: 100_000,
  })
  t.is(code, 0, stderr)
})

// Windows has no limit on the size of a file.
const unlessWindows = process.platform === 'win32' ? test.skip : test.serial
unlessWindows(
  'a failure that makes the database read-only is published once, and shown to writers and by close',
  async (t) => {
    const folder = path.join(await temporaryFolder(t), 'db')
    const limited = 'trap "" XFSZ; ulimit -f 8000; exec "$0" "$@"'
    const program = path.join(root, '__test__/fixtures/failing.mjs')
    const { code, stdout, stderr } = await run('sh', ['-c', limited, process.execPath, program, folder])
    t.is(code, 0, stderr)
    const { published, ...said } = JSON.parse(stdout)
    t.deepEqual(said, {
      writing: 'ERR_COPPICE_READ_ONLY',
      again: 'ERR_COPPICE_READ_ONLY',
      reading: 'v',
      closing: 'ERR_COPPICE_IO',
    })
    t.is(published.length, 1)
    t.is(published[0].path, folder)
    t.is(published[0].code, 'ERR_COPPICE_IO')
    t.regex(published[0].message, /writing blobs/)
    // What was written until then is in the journal.
    using db = open(folder)
    t.is(String(db.tree().get('first')), 'v')
    t.true(db.tree().count() > 10)
  },
)
