/** Trees by promises: what they answer, and when. */

import type { Encoding } from './codec.js'
import type { Connection } from './connection.js'
import { type Cursor, iterateInTurns, type Range, readEntry, readKey, readRecord, readValue } from './iterate.js'
import type { Key } from './key.js'
import type { Listing, ListOptions } from './list.js'
import type { Argument } from './native/binding.js'
import type { Entry } from './reader.js'
import type { Condition, RenameOptions, Tree } from './tree.js'

/** The type of a function as it is when it returns a promise of what it returned; both overloads of one that has two. */
export type Promised<F> = F extends { (...args: infer A1): infer R1; (...args: infer A2): infer R2 }
  ? { (...args: A1): Promise<R1>; (...args: A2): Promise<R2> }
  : F extends (...args: infer A) => infer R
    ? (...args: A) => Promise<R>
    : never

/**
 * The operations of a tree, with promises. Get it from {@link Tree.promises}.
 *
 * Everything happens during the call, in the order of the calls, and what it did is visible to all readers when the call
 * returns. What the promise waits for is:
 *
 * - *Reads*: nothing. A record that has to be read from disk first is read during the call, as by the synchronous form.
 * - *Writes*: the disk. A promise resolves when its write, with all that was written before it, survives a power cut,
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
 * takes no more writes (ERR_COPPICE_READ_ONLY). Closing the database settles the promises in flight as if it went on.
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
   * As {@link Reader.keys}, leaving the event loop to others between one page, of at most 1,024 entries, and the next. A
   * range that cannot be is refused by the call, not by the first step.
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
  /** See {@link Tree.deletePrefix}. */
  deletePrefix(prefix: Key): Promise<number>
}

export class StoredTreePromises<V, In, K extends Argument> implements TreePromises<V, In, K> {
  readonly #tree: Tree<V, In, K>
  readonly #connection: Connection
  readonly #encoding: Encoding<V, never>
  readonly #cursor: (values: boolean, range: Range | undefined) => Cursor<K>

  /** The writes of `tree` do not wait for the disk. */
  constructor(
    tree: Tree<V, In, K>,
    connection: Connection,
    encoding: Encoding<V, never>,
    cursor: (values: boolean, range: Range | undefined) => Cursor<K>,
  ) {
    this.#tree = tree
    this.#connection = connection
    this.#encoding = encoding
    this.#cursor = cursor
  }

  async get(key: Key): Promise<V | undefined> {
    return this.#tree.get(key)
  }

  async getMany(keys: readonly Key[]): Promise<(V | undefined)[]> {
    return this.#tree.getMany(keys)
  }

  async has(key: Key): Promise<boolean> {
    return this.#tree.has(key)
  }

  async record(key: Key): Promise<{ value: V; version: number } | undefined> {
    return this.#tree.record(key)
  }

  async longestPrefix(key: Key): Promise<Entry<V, K> | undefined> {
    return this.#tree.longestPrefix(key)
  }

  async list(options?: ListOptions): Promise<Listing<V, K>> {
    return this.#tree.list(options)
  }

  async count(prefix?: Key): Promise<number> {
    return this.#tree.count(prefix)
  }

  async isEmpty(prefix?: Key): Promise<boolean> {
    return this.#tree.isEmpty(prefix)
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
