import { setImmediate as nextTurn, setTimeout } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { DurableWrites } from '../src/durable.js'

/** Syncs that end when the test says so. */
class Syncs {
  readonly pending: { resolve(): void; reject(error: Error): void }[] = []

  readonly persist = (): Promise<void> => new Promise((resolve, reject) => this.pending.push({ resolve, reject }))

  /** Ends the only sync that is under way. */
  async end(t: ExecutionContext, error?: Error): Promise<void> {
    t.is(this.pending.length, 1)
    const sync = this.pending.pop()
    if (error === undefined) sync?.resolve()
    else sync?.reject(error)
    await nextTurn()
    await nextTurn()
  }
}

test('a turn shares a sync; what comes meanwhile shares the next', async (t) => {
  const syncs = new Syncs()
  const writes = new DurableWrites(syncs.persist)
  const resolved: string[] = []
  const write = (name: string) => writes.settled(name).then((result) => resolved.push(result))
  const first = [write('a'), write('b')]
  await Promise.resolve()
  first.push(write('c'))
  t.is(syncs.pending.length, 0)
  await nextTurn()
  const second = [write('d'), write('e')]
  await setTimeout(5)
  t.deepEqual(resolved, [])
  await syncs.end(t)
  t.deepEqual(resolved, ['a', 'b', 'c'])
  await Promise.all(first)
  await syncs.end(t)
  await Promise.all(second)
  t.deepEqual(resolved, ['a', 'b', 'c', 'd', 'e'])
  t.is(syncs.pending.length, 0)
})

test('who writes again as soon as a sync has ended joins those who wait for the next', async (t) => {
  const syncs = new Syncs()
  const writes = new DurableWrites(syncs.persist)
  const again = writes.settled(1).then(() => writes.settled(2))
  await nextTurn()
  const waiting = writes.settled(3)
  await syncs.end(t)
  await syncs.end(t)
  t.deepEqual(await Promise.all([again, waiting]), [2, 3])
})

test('a sync that fails rejects all who waited for it, and nobody else', async (t) => {
  const unhandled: unknown[] = []
  const note = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', note)
  const syncs = new Syncs()
  const writes = new DurableWrites(syncs.persist)
  const failing = Promise.allSettled([writes.settled(1), writes.settled(2)])
  await nextTurn()
  const next = writes.settled(3)
  const error = new Error('no disk')
  await syncs.end(t, error)
  t.deepEqual(await failing, [
    { status: 'rejected', reason: error },
    { status: 'rejected', reason: error },
  ])
  await syncs.end(t)
  t.is(await next, 3)
  await nextTurn()
  process.off('unhandledRejection', note)
  t.deepEqual(unhandled, [])
})

test('startNow serves those who wait while another sync is under way', async (t) => {
  const syncs = new Syncs()
  const writes = new DurableWrites(syncs.persist)
  writes.startNow()
  t.is(syncs.pending.length, 0)
  const first = writes.settled(1)
  await nextTurn()
  const second = writes.settled(2)
  writes.startNow()
  t.is(syncs.pending.length, 2)
  for (const sync of syncs.pending.splice(0)) sync.resolve()
  t.deepEqual(await Promise.all([first, second]), [1, 2])
  await nextTurn()
  t.is(syncs.pending.length, 0)
})
