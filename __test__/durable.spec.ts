import { setImmediate } from 'node:timers'
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

test('of two syncs under way, whom the first serves go on first, whichever ends first', async (t) => {
  const syncs = new Syncs()
  const writes = new DurableWrites(syncs.persist)
  const settled: string[] = []
  const write = (name: string) =>
    writes.settled(name).then(
      () => settled.push(name),
      () => settled.push(`${name} failed`),
    )
  for (const error of [undefined, new Error('no disk')]) {
    const first = write('a')
    await nextTurn()
    const second = write('b')
    writes.startNow()
    const [one, other] = syncs.pending.splice(0)
    if (error === undefined) other?.resolve()
    else other?.reject(error)
    await nextTurn()
    t.deepEqual(settled, [])
    one?.resolve()
    await Promise.all([first, second])
    t.deepEqual(settled.splice(0), error === undefined ? ['a', 'b'] : ['a', 'b failed'])
  }
})

/** Keeps the thread busy, as a read from disk does. */
function hold(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

test.serial('whoever takes long once served holds up one turn no more than a little', async (t) => {
  const syncs = new Syncs()
  const writes = new DurableWrites(syncs.persist)
  const order: number[] = []
  let turn = 0
  const turnOf: number[] = []
  const all = Promise.all(
    Array.from({ length: 40 }, async (_, at) => {
      // Behind more than one promise, as a caller's own functions are.
      order.push(await (async () => writes.settled(at))())
      turnOf.push(turn)
      hold(0.5)
    }),
  )
  await nextTurn()
  syncs.pending.pop()?.resolve()
  const count = (): void => {
    turn += 1
    if (order.length < 40) setImmediate(count)
  }
  setImmediate(count)
  await all
  t.deepEqual(order, [...order.keys()])
  // A busy machine makes turns shorter, not longer.
  for (let at = 0; at < turn; at += 1) t.true(turnOf.filter((of) => of === at).length <= 5, `${turnOf}`)
})

test.serial('what is written by those who are served first does not wait for the last', async (t) => {
  const syncs = new Syncs()
  const writes = new DurableWrites(syncs.persist)
  const settled: string[] = []
  const write = async (name: string): Promise<void> => {
    await writes.settled(name)
    settled.push(name)
    hold(2)
    if (name === 'a') again = write('a again')
  }
  let again: Promise<void> | undefined
  const all = Promise.all(['a', 'b', 'c', 'd'].map(write))
  await nextTurn()
  syncs.pending.pop()?.resolve()
  while (syncs.pending.length === 0) await nextTurn()
  t.true(settled.length < 4, `${settled}`)
  // It fails before all have settled whom the first one served.
  const error = new Error('no disk')
  syncs.pending.pop()?.reject(error)
  await t.throwsAsync(
    async () => {
      await all
      await again
    },
    { is: error },
  )
  t.deepEqual(settled, ['a', 'b', 'c', 'd'])
})

test.serial('quick ones settle in one turn', async (t) => {
  const syncs = new Syncs()
  const writes = new DurableWrites(syncs.persist)
  let best = Number.POSITIVE_INFINITY
  // On a busy machine few rounds are quick.
  for (let round = 0; round < 1000 && best > 0; round += 1) {
    const all = Promise.all(Array.from({ length: 100 }, (_, at) => writes.settled(at)))
    await nextTurn()
    let turns = 0
    let open = true
    syncs.pending.pop()?.resolve()
    const count = (): void => {
      turns += 1
      if (open) setImmediate(count)
    }
    setImmediate(count)
    await all
    open = false
    best = Math.min(best, turns)
  }
  t.is(best, 0)
})
