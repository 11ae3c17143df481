/**
 * Reads that leave the event loop free where they need the disk. Each is made of memory alone; where something is lacking, a
 * thread of the engine's reads that in, and the read is made again. One call of the event loop tells of all that has come in.
 */

import { setInterval } from 'node:timers'
import { Connection } from './connection.js'
import { CoppiceError, errorOf } from './errors.js'
import { NOT_IN_MEMORY, native } from './native/binding.js'

/** What a read throws that stopped in front of the disk: always the same, and never seen by callers. */
const notInMemory = new CoppiceError('ERR_COPPICE_INTERNAL', 'What is read is not in memory')

/**
 * Whoever gets no further in so many rounds reads from disk itself: what it needs makes way for what others read as soon as
 * it comes in.
 */
const MOST_ROUNDS = 1000
/** The longest that a timer waits. */
const LONG_MS = 0x7fff_ffff

/** A database as reads see it that do not wait for the disk. */
class ResidentConnection extends Connection {
  readonly #database: Connection

  constructor(database: Connection, handle: number) {
    super(database.path, handle)
    this.#database = database
  }

  override requireOpen(): void {
    this.#database.requireOpen()
  }

  override failure(code: number): CoppiceError {
    return code === NOT_IN_MEMORY ? notInMemory : super.failure(code)
  }
}

/** A read that may be made several times, until it has what it needs. */
export interface Read<T> {
  /** Makes it, or goes on with it. Throws what the connection says. */
  make(connection: Connection): T
  /** Copies what the caller may change, before it is made again. */
  keep?(): void
  /** How far it is, where it goes on. */
  progress?(): number
}

/** A read that waits. */
interface Waiting {
  readonly read: Read<unknown>
  resolve(answer: unknown): void
  reject(error: unknown): void
  /** How often it was made again since it last got any further. */
  rounds: number
  progress: number | undefined
}

export class Fetches {
  /** To be read by what does not wait for the disk. */
  readonly resident: Connection
  readonly #database: Connection
  readonly #waiting = new Map<number, Waiting>()
  #lastTicket = 0
  /** Keeps the process alive while something is waited for. */
  readonly #keeper: NodeJS.Timeout

  private constructor(database: Connection) {
    database.requireOpen()
    this.#database = database
    const handle = database.resultOf(native.resident(database.handle, () => this.#takeArrivals()))
    this.resident = new ResidentConnection(database, handle)
    this.#keeper = setInterval(() => {}, LONG_MS).unref()
    database.jobs.add(this)
  }

  /** Those of a database, which all of its trees share; throws where it is closed. */
  static of(database: Connection): Fetches {
    let fetches = made.get(database)
    if (fetches === undefined) {
      fetches = new Fetches(database)
      made.set(database, fetches)
    }
    return fetches
  }

  /** What a read answers, which is made at once, and again later where it needs the disk. */
  answer<T>(read: Read<T>): Promise<T> {
    try {
      return Promise.resolve(read.make(this.resident))
    } catch (error) {
      if (error !== notInMemory) return Promise.reject(error)
    }
    return new Promise<T>((resolve, reject) => {
      read.keep?.()
      this.#lastTicket = (this.#lastTicket + 1) >>> 0
      const answered = resolve as (answer: unknown) => void
      this.#wait(this.#lastTicket, { read, resolve: answered, reject, rounds: 0, progress: read.progress?.() })
    })
  }

  /** Lets what the read that was just made lacks be read in. */
  #wait(ticket: number, waiting: Waiting): void {
    this.#database.resultOf(native.fetch(this.resident.handle, ticket, waiting.rounds > 0))
    this.#waiting.set(ticket, waiting)
    if (this.#waiting.size === 1) this.#keeper.ref()
  }

  #takeArrivals(): void {
    if (!this.#database.open) return
    const arrivals = this.#database.resultOf(native.takeArrivals(this.resident.handle))
    for (const { ticket, failure } of arrivals) {
      const waiting = this.#waiting.get(ticket)
      // Whoever was answered before it may have closed the database.
      if (waiting === undefined) continue
      this.#waiting.delete(ticket)
      if (failure === undefined) this.#makeAgain(ticket, waiting)
      else waiting.reject(errorOf(failure, this.#database.path))
    }
    if (this.#waiting.size === 0) this.#keeper.unref()
  }

  #makeAgain(ticket: number, waiting: Waiting): void {
    waiting.rounds += 1
    try {
      waiting.resolve(waiting.read.make(waiting.rounds < MOST_ROUNDS ? this.resident : this.#database))
    } catch (error) {
      if (error === notInMemory) this.#waitOn(ticket, waiting)
      else waiting.reject(error)
    }
  }

  #waitOn(ticket: number, waiting: Waiting): void {
    try {
      this.#wait(ticket, waiting)
    } catch (error) {
      waiting.reject(error)
    }
    const progress = waiting.read.progress?.()
    if (progress !== waiting.progress) waiting.rounds = 0
    waiting.progress = progress
  }

  /** Fails what waits, as the first step of a close. */
  cancel(): void {
    clearInterval(this.#keeper)
    for (const { reject } of this.#waiting.values()) {
      reject(errorOf({ code: 'ERR_COPPICE_CLOSED', message: '' }, this.#database.path))
    }
    this.#waiting.clear()
  }
}

const made = new WeakMap<Connection, Fetches>()
