/** Trees by promises: what they answer, and when. */

import type { Encoding } from './codec.js'
import type { Connection } from './connection.js'
import { Fetches } from './fetches.js'
import { Cursor, iterateInTurns, type Range, readEntry, readKey, readRecord, readValue } from './iterate.js'
import { type Key, keptKey } from './key.js'
import { Collecting, type Listing, type ListOptions } from './list.js'
import { Gathering } from './many.js'
import { type Argument, native, type Writes } from './native/binding.js'
import type { Entry, Reader } from './reader.js'
import { type Condition, checkKeys, type RenameOptions, type Tree } from './tree.js'

/** The type of a function as it is when it returns a promise of what it returned; both overloads of one that has two. */
export type Promised<F> = F extends { (...args: infer A1): infer R1; (...args: infer A2): infer R2 }
  ? { (...args: A1): Promise<R1>; (...args: A2): Promise<R2> }
  : F extends (...args: infer A) => infer R
    ? (...args: A) => Promise<R>
    : never

/**
 * The operations of a tree, with promises. Get it from {@link Tree.promises}.
 *
 * What is done is done during the call, in the order of the calls, and is visible to all readers when the call returns. What
 * the promise waits for is:
 *
 * - *Reads*: nothing, where all that they need is in memory. What is not, threads of the engine's own read in, while the event
 *   loop is free; then the read is made again, and goes on where it was. So what needs the disk answers as of a moment between
 *   the call and the promise's settling, later than writes that were called before it and perhaps than some that were called
 *   behind it; of `getMany`, `list` and scans each part does. Promises of reads settle in any order. Those that want the same
 *   share one read of the disk. Where there are a thousand rounds in which one gets no further, because what it needs always
 *   has to make way for what others read, it reads from disk during the next one, as the synchronous form does.
 * - *Writes*: the disk. What a write has to read first is read during the call. A promise resolves when its write, with all that was written before it, survives a power cut,
 *   whatever the database's `durability` is; at `'none'` and in a volatile database, where nothing is waited for, it resolves
 *   soon. All writes that are made in one turn of the event loop wait for one sync of the journal, which happens off the
 *   event loop, and those made while it is under way for the next one. So it pays to have many in flight, and costs little
 *   more than a lone write. Promises of writes resolve in the order of the calls. One that changed nothing (its condition
 *   did not hold) waits too: what it saw is on disk when it resolves. While the journal is past twice
 *   `checkpoint.journalBytes`, promises resolve once a checkpoint has made room: whoever awaits them writes no faster than
 *   that. Only a call that finds it past four times that waits itself, as the synchronous form does at half of it.
 *
 * What the synchronous form throws is what the promise rejects with. Beyond that, a sync that fails rejects the promises of
 * all writes that waited for it with ERR_COPPICE_OUTCOME_UNKNOWN: they are visible, but may not be on disk, and the database
 * takes no more writes (ERR_COPPICE_READ_ONLY). Closing the database settles the promises of writes in flight as if it went on,
 * and rejects those of reads that wait for the disk with ERR_COPPICE_CLOSED.
 */
export interface TreePromises<V, In = V, K = string> {
  /** See {@link Reader.get}. */
  get(key: Key): Promise<V | undefined>
  /** See {@link Reader.getMany}. */
  getMany(keys: readonly Key[]): Promise<(V | undefined)[]>
  /** See {@link Reader.has}. */
  has(key: Key): Promise<boolean>
  /** See {@link Reader.record}. */
  record(key: Key): Promise<{ value: V; version: number } | undefined>
  /** See {@link Reader.longestPrefix}. */
  longestPrefix(key: Key): Promise<Entry<V, K> | undefined>
  /** See {@link Reader.list}. */
  list(options?: ListOptions): Promise<Listing<V, K>>
  /** See {@link Reader.count}. */
  count(prefix?: Key): Promise<number>
  /** See {@link Reader.isEmpty}. */
  isEmpty(prefix?: Key): Promise<boolean>
  /**
   * As {@link Reader.keys}, leaving the event loop to others between one page, of at most 1,024 entries, and the next, and
   * while the next has to be read from disk. A range that cannot be is refused by the call, not by the first step.
   */
  keys(range?: Range): AsyncIterableIterator<K>
  /** As {@link Reader.values}; see {@link TreePromises.keys}. */
  values(range?: Range): AsyncIterableIterator<V>
  /** As {@link Reader.entries}; see {@link TreePromises.keys}. */
  entries(range?: Range): AsyncIterableIterator<[K, V]>
  /** As {@link Reader.records}; see {@link TreePromises.keys}. */
  records(range?: Range): AsyncIterableIterator<Entry<V, K>>
  /** See {@link Tree.put}. */
  put(key: Key, value: In): Promise<number>
  put(key: Key, value: In, condition: Condition): Promise<number | undefined>
  /** See {@link Tree.putMany}. The iterable is read to its end during the call. */
  putMany(entries: Iterable<readonly [Key, In]>): Promise<void>
  /** See {@link Tree.delete}. */
  delete(key: Key, condition?: Condition): Promise<boolean>
  /** See {@link Tree.rename}. */
  rename(from: Key, to: Key, options?: RenameOptions): Promise<boolean>
  /** See {@link Tree.movePrefix}. */
  movePrefix(from: Key, to: Key): Promise<number>
  /** See {@link Tree.clonePrefix}. */
  clonePrefix(from: Key, to: Key): Promise<number>
  /** See {@link Tree.deletePrefix}. */
  deletePrefix(prefix: Key): Promise<number>
}

/** A tree whose operations are to have promises. */
export interface PromisedTree<V, In, K> {
  readonly connection: Connection
  readonly id: number
  readonly encoding: Encoding<V, In>
  readonly keysAsBytes: boolean
  /** The same tree over another connection, with other writes. */
  over(connection: Connection, writes: Writes): Tree<V, In, K>
}

export class StoredTreePromises<V, In, K extends Argument> implements TreePromises<V, In, K> {
  readonly #of: PromisedTree<V, In, K>
  readonly #connection: Connection
  readonly #encoding: Encoding<V, never>
  /** Its writes do not wait for the disk. */
  readonly #tree: Tree<V, In, K>
  /** Its reads do not either. */
  #resident: Tree<V, In, K> | undefined

  constructor(tree: PromisedTree<V, In, K>) {
    this.#of = tree
    this.#connection = tree.connection
    this.#encoding = tree.encoding
    this.#tree = tree.over(tree.connection, native.unsettled)
  }

  get(key: Key): Promise<V | undefined> {
    return this.#answer(key, (tree, kept) => tree.get(kept))
  }

  async getMany(keys: readonly Key[]): Promise<(V | undefined)[]> {
    checkKeys(keys)
    return this.#fetches().answer(new Gathering(this.#of.id, this.#encoding, keys))
  }

  has(key: Key): Promise<boolean> {
    return this.#answer(key, (tree, kept) => tree.has(kept))
  }

  record(key: Key): Promise<{ value: V; version: number } | undefined> {
    return this.#answer(key, (tree, kept) => tree.record(kept))
  }

  longestPrefix(key: Key): Promise<Entry<V, K> | undefined> {
    return this.#answer(key, (tree, kept) => tree.longestPrefix(kept))
  }

  async list(options?: ListOptions): Promise<Listing<V, K>> {
    const { id, keysAsBytes } = this.#of
    const listing = new Collecting<V, K>(id, keysAsBytes, this.#encoding, options)
    return this.#fetches().answer(listing)
  }

  count(prefix: Key = ''): Promise<number> {
    return this.#answer(prefix, (tree, kept) => tree.count(kept))
  }

  isEmpty(prefix: Key = ''): Promise<boolean> {
    return this.#answer(prefix, (tree, kept) => tree.isEmpty(kept))
  }

  #fetches(): Fetches {
    return Fetches.of(this.#connection)
  }

  async #answer<T>(key: Key, read: (tree: Reader<V, K>, key: Key) => T): Promise<T> {
    const fetches = this.#fetches()
    this.#resident ??= this.#of.over(fetches.resident, native)
    const resident = this.#resident
    let kept = key
    return fetches.answer({
      make: (connection) => read(connection === fetches.resident ? resident : this.#tree, kept),
      keep: () => {
        kept = keptKey('key', key)
      },
    })
  }

  #cursor(values: boolean, range: Range | undefined): Cursor<K> {
    const { id, keysAsBytes } = this.#of
    return new Cursor(this.#connection, id, { values, keysAsBytes }, range)
  }

  keys(range?: Range): AsyncIterableIterator<K> {
    return iterateInTurns(this.#cursor(false, range), readKey)
  }

  values(range?: Range): AsyncIterableIterator<V> {
    return iterateInTurns(this.#cursor(true, range), readValue(this.#encoding))
  }

  entries(range?: Range): AsyncIterableIterator<[K, V]> {
    return iterateInTurns(this.#cursor(true, range), readEntry(this.#encoding))
  }

  records(range?: Range): AsyncIterableIterator<Entry<V, K>> {
    return iterateInTurns(this.#cursor(true, range), readRecord(this.#encoding))
  }

  put(key: Key, value: In): Promise<number>
  put(key: Key, value: In, condition: Condition): Promise<number | undefined>
  put(key: Key, value: In, condition?: Condition): Promise<number | undefined> {
    return this.#durably(() => this.#tree.put(key, value, condition as Condition))
  }

  putMany(entries: Iterable<readonly [Key, In]>): Promise<void> {
    return this.#durably(() => this.#tree.putMany(entries))
  }

  delete(key: Key, condition?: Condition): Promise<boolean> {
    return this.#durably(() => this.#tree.delete(key, condition))
  }

  rename(from: Key, to: Key, options?: RenameOptions): Promise<boolean> {
    return this.#durably(() => this.#tree.rename(from, to, options))
  }

  movePrefix(from: Key, to: Key): Promise<number> {
    return this.#durably(() => this.#tree.movePrefix(from, to))
  }

  clonePrefix(from: Key, to: Key): Promise<number> {
    return this.#durably(() => this.#tree.clonePrefix(from, to))
  }

  deletePrefix(prefix: Key): Promise<number> {
    return this.#durably(() => this.#tree.deletePrefix(prefix))
  }

  #durably<T>(write: () => T): Promise<T> {
    try {
      return this.#connection.durable.settled(write())
    } catch (error) {
      return Promise.reject(error)
    }
  }
}
