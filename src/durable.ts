/**
 * Promises of writes that are visible and not on disk yet. All writes of one turn of the event loop wait for one sync, off
 * the event loop; those that are made while it is under way wait for the next one together.
 */

/** Who waits for a write. */
interface Waiting {
  resolve(): void
  reject(error: unknown): void
}

export class DurableWrites {
  readonly #persist: () => Promise<unknown>
  /** Those whom no sync serves yet, in the order in which they wrote. */
  #waiting: Waiting[] = []
  #scheduled = false
  #syncing = false

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
    if (this.#waiting.length > 0) void this.#sync()
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

  async #sync(): Promise<void> {
    const served = this.#waiting
    this.#waiting = []
    this.#syncing = true
    try {
      await this.#persist()
      for (const { resolve } of served) resolve()
    } catch (error) {
      for (const { reject } of served) reject(error)
    }
    this.#syncing = false
    if (this.#waiting.length > 0) this.#schedule()
  }
}
