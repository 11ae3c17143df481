/**
 * Promises of writes that are visible and not on disk yet. All writes of one turn of the event loop wait for one sync, off
 * the event loop; those that are made while it is under way wait for the next one together. Whoever is served by a sync goes
 * on before the next promise settles, and where that takes long, the rest settle in turns to come: what they write next may
 * have to read from disk during the call.
 */

import { setImmediate as nextTurn } from 'node:timers/promises'

/** For so long promises settle in one turn of the event loop, where those who waited go on with what takes long. */
const TURN_MS = 0.5
/** For so long where they do not, since a sync serves the more of them at once the more write in one turn. */
const QUICK_TURN_MS = 2
/** For about so long they settle without a look at the clock. */
const LOOK_MS = TURN_MS / 4
/** So many settle between two looks at most. */
const MOST_AT_ONCE = 256
/** Whoever goes on as quickly as that many within a look has not read from disk. */
const QUICK = 8

/** Who waits for a write. */
interface Waiting {
  resolve(): void
  reject(error: unknown): void
}

export class DurableWrites {
  readonly #persist: () => Promise<unknown>
  /** Those whom no sync serves yet, in the order in which they wrote. */
  #waiting: Waiting[] = []
  /** What settles those whom a sync has served, in the order in which they wrote. */
  #served: (() => void)[] = []
  #settling = false
  /** How many settle before the next look at the clock. */
  #atOnce = 1
  #scheduled = false
  #syncing = false
  /** The sync that was started last: resolves once those whom it serves are next to settle. */
  #last: Promise<void> | undefined

  /** `persist` resolves when all that was written before the call is on disk. */
  constructor(persist: () => Promise<unknown>) {
    this.#persist = persist
  }

  /** Resolves with what a write returned once that write, and all that was written before, is on disk. */
  settled<T>(result: T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve: () => resolve(result), reject })
      this.#schedule()
    })
  }

  /** Starts a sync for those whom none serves yet, as must be done before the database is closed. */
  startNow(): void {
    if (this.#waiting.length > 0) this.#last = this.#sync(this.#last)
  }

  /** The turn ends first, so that what it goes on to write, whoever a sync has just served included, shares the sync. */
  #schedule(): void {
    if (this.#scheduled || this.#syncing) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.startNow()
    })
  }

  /** Of two that are under way at once, as where the database is closed, the later may end first: it waits for `before`. */
  async #sync(before: Promise<void> | undefined): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = []
    this.#syncing = true
    try {
      await this.#persist()
      await before
      for (const { resolve } of waiting) this.#served.push(resolve)
    } catch (error) {
      await before
      for (const { reject } of waiting) this.#served.push(() => reject(error))
    }
    this.#syncing = false
    if (!this.#settling) void this.#settle()
    if (this.#waiting.length > 0) this.#schedule()
  }

  /** Settles those whom syncs have served. */
  async #settle(): Promise<void> {
    this.#settling = true
    let start = performance.now()
    let look = start
    while (this.#served.length > 0) {
      const served = this.#served
      this.#served = []
      for (let settled = 0; settled < served.length; ) {
        const some = served.slice(settled, settled + this.#atOnce)
        for (const settle of some) settle()
        settled += some.length
        // Those who waited go on now.
        await new Promise(process.nextTick)
        const now = performance.now()
        const inTime = Math.floor((some.length * LOOK_MS) / (now - look))
        this.#atOnce = Math.max(1, Math.min(inTime, 2 * this.#atOnce, MOST_AT_ONCE))
        look = now
        if (now - start < (inTime < QUICK ? TURN_MS : QUICK_TURN_MS)) continue
        await nextTurn()
        start = look = performance.now()
      }
    }
    this.#settling = false
  }
}
