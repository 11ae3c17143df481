/** Watching a tree: its changes as they are committed. */

import { checkInteger, checkOptions, checkSignal } from './check.js'
import type { Encoding } from './codec.js'
import type { Connection } from './connection.js'
import { aborted, type CoppiceError } from './errors.js'
import { type Key, keyBytes } from './key.js'
import { type NativeWatch, native, watchCode } from './native/binding.js'
import { roomFor, roomForPage, type Slab } from './slab.js'

/**
 * One change to a tree. `version` is that of its commit: changes that were committed together have the same.
 *
 * A rename is the delete of one key and the put of the other. Operations on prefixes are one change each, however many keys
 * they concern, and are told as they were made; `movePrefix` leaves keys their versions, and `clonePrefix` gives the new keys
 * those of the keys that they were made of.
 */
export type Change<V, K = string> =
  | { type: 'put'; key: K; value: V; version: number }
  | { type: 'delete'; key: K; version: number }
  | { type: 'movePrefix' | 'clonePrefix'; from: K; to: K; version: number }
  | { type: 'deletePrefix'; prefix: K; version: number }

/** What is watched. */
export interface WatchOptions {
  /** Only changes of keys that start with this. */
  prefix?: Key
  /** Begin with what was committed behind this version, rather than with what is committed from now on. */
  after?: number
  /** Ends it: the iterator throws ERR_COPPICE_ABORTED, the signal's reason as its `cause`. */
  signal?: AbortSignal
}

const WATCH_OPTIONS = ['prefix', 'after', 'signal'] as const

/** In front of each change of a page; see crates/node/src/watch.rs. */
const HEADER_BYTES = 20
/** The kind in that header of each type of change. */
const TYPES = ['put', 'delete', 'movePrefix', 'deletePrefix', 'clonePrefix'] as const

/** What of a tree is watched, and how its changes are read. */
interface Watched<V> {
  connection: Connection
  tree: number
  name: string
  keysAsBytes: boolean
  encoding: Encoding<V, never>
}

/** Begins to watch, with the call. */
export function watch<V, K>(
  watched: Watched<V>,
  options: WatchOptions | undefined,
): AsyncIterableIterator<Change<V, K>> {
  const { connection, tree, keysAsBytes } = watched
  connection.requireOpen()
  const { prefix, after, signal } = checkOptions('watch options', options, WATCH_OPTIONS)
  checkSignal(signal)
  const version = after === undefined ? undefined : checkInteger('after', after, 0, Number.MAX_SAFE_INTEGER, 0)
  const bytes = keyBytes('prefix', prefix === undefined ? '' : prefix)
  const begun = connection.resultOf(native.watch(connection.handle, tree, keysAsBytes, bytes, version))
  return new ChangeIterator(watched, begun, signal)
}

class ChangeIterator<V, K> implements AsyncIterableIterator<Change<V, K>> {
  readonly #watched: Watched<V>
  readonly #signal: AbortSignal | undefined
  readonly #abort = (): void => this.#aborted()
  /** Until it has ended. */
  #watch: NativeWatch | undefined
  #page: ChangePage<V, K> | undefined
  /** What is thrown once, in place of the next change. */
  #failure: CoppiceError | undefined
  /** Settles when all calls of `next` so far have. */
  #turn: Promise<unknown> = Promise.resolve()
  /** Ends the wait of the call of `next` that waits for a change. */
  #wake: (() => void) | undefined

  constructor(watched: Watched<V>, begun: NativeWatch, signal: AbortSignal | undefined) {
    this.#watched = watched
    this.#watch = begun
    this.#signal = signal
    if (signal?.aborted) this.#aborted()
    else signal?.addEventListener('abort', this.#abort)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Change<V, K>, undefined>> {
    const step = this.#turn.then(() => this.#step())
    this.#turn = step.catch(() => {})
    return step
  }

  async return(): Promise<IteratorResult<Change<V, K>, undefined>> {
    this.#end()
    return { done: true, value: undefined }
  }

  async throw(error: unknown): Promise<never> {
    this.#end()
    throw error
  }

  async #step(): Promise<IteratorResult<Change<V, K>, undefined>> {
    try {
      for (;;) {
        const change = this.#page?.next()
        if (change !== undefined) return { done: false, value: change }
        if (!(await this.#fill())) {
          this.#end()
          return { done: true, value: undefined }
        }
      }
    } catch (error) {
      this.#end()
      throw error
    }
  }

  /** Gets a page, or waits until there may be one. False where there is nothing more to come. */
  async #fill(): Promise<boolean> {
    if (this.#failure !== undefined) {
      const failure = this.#failure
      this.#failure = undefined
      throw failure
    }
    const watch = this.#watch
    if (watch === undefined) return false
    const { connection } = this.#watched
    const taken = connection.resultOf(watch.take())
    if (taken === watchCode.closed) return false
    if (taken === watchCode.journal) {
      connection.resultOf(await watch.readJournal())
    } else if (taken === watchCode.nothing) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        watch.wake(resolve)
      })
      this.#wake = undefined
    } else {
      this.#page = new ChangePage(taken, this.#watched)
    }
    return true
  }

  #aborted(): void {
    const { connection, name } = this.#watched
    this.#end()
    this.#failure = aborted(`watch of the tree '${name}' of the database '${connection.path}'`, this.#signal)
  }

  /** Releases what it holds. What was not read yet is dropped. */
  #end(): void {
    this.#watch?.close()
    this.#watch = undefined
    this.#page = undefined
    this.#failure = undefined
    this.#signal?.removeEventListener('abort', this.#abort)
    this.#wake?.()
  }
}

/** Changes that crossed together. */
class ChangePage<V, K> {
  readonly #watched: Watched<V>
  readonly #slab: Slab
  readonly #view: DataView
  /** Where the next change begins, and where they end. */
  #position: number
  readonly #end: number

  constructor(bytes: Uint8Array, watched: Watched<V>) {
    this.#watched = watched
    const common = roomForPage()
    this.#slab = common.room < bytes.length ? roomFor(bytes.length) : common
    this.#position = this.#slab.offset
    this.#end = this.#position + bytes.length
    this.#slab.write(bytes)
    this.#slab.advance(bytes.length)
    this.#view = new DataView(this.#slab.memory)
  }

  next(): Change<V, K> | undefined {
    const start = this.#position
    if (start === this.#end) return undefined
    const type = TYPES[this.#view.getUint32(start, true)]
    const middle = start + HEADER_BYTES + this.#view.getUint32(start + 4, true)
    const end = middle + this.#view.getUint32(start + 8, true)
    const version = this.#view.getFloat64(start + 12, true)
    this.#position = end
    const key = this.#key(start + HEADER_BYTES, middle)
    switch (type) {
      case 'put':
        return { type, key, value: this.#watched.encoding.read(this.#slab, middle, end), version }
      case 'movePrefix':
      case 'clonePrefix':
        return { type, from: key, to: this.#key(middle, end), version }
      case 'deletePrefix':
        return { type, prefix: key, version }
      default:
        return { type: 'delete', key, version }
    }
  }

  #key(start: number, end: number): K {
    return (this.#watched.keysAsBytes ? this.#slab.view(start, end) : this.#slab.text(start, end)) as K
  }
}
