/** What can be asked of a tree, and the shapes of the answers. */

import type { Range } from './iterate.js'
import type { Key } from './key.js'
import type { Listing, ListOptions } from './list.js'

/** A record. */
export interface Entry<V, K = string> {
  key: K
  value: V
  /** The commit that wrote it: what {@link Condition.ifVersion} takes. */
  version: number
}

/**
 * The reading side of a tree. All of it is synchronous, and answers from what was written last, whether or not that is
 * on disk yet.
 *
 * `V` is the type of values as the tree's encoding gives them, `K` that of the keys that come back: string, or Buffer
 * in a tree opened with `keys: 'buffer'`. Keys go in as either in any tree.
 *
 * Every method throws {@link CoppiceError} with ERR_COPPICE_CLOSED once the database is closed, and with
 * ERR_COPPICE_INVALID_ARGUMENT or ERR_COPPICE_KEY_TOO_LARGE for a key that cannot be one. Whatever returns keys, and
 * `values`, throws ERR_COPPICE_INVALID_ARGUMENT on meeting one that is not UTF-8, unless the tree was opened with `keys:
 * 'buffer'`. What has to be read from disk first may turn out damaged (ERR_COPPICE_CORRUPT) or unreadable
 * (ERR_COPPICE_IO).
 *
 * Buffers that come back are views of memory that other values lie in too, as those of Node's own pool are: they are
 * yours to change, but a small one that is kept for long keeps up to 64 KiB alive. Keep `Buffer.from(value)` instead.
 */
export interface Reader<V, K = string> {
  /** The value, or undefined where there is no record of that key. */
  get(key: Key): V | undefined
  /** The values of many keys, in their order, with undefined where there is no record. */
  getMany(keys: readonly Key[]): (V | undefined)[]
  /** Whether there is a record of that key. Does not read the value. */
  has(key: Key): boolean
  /** The value with the version that conditional writes take; undefined where there is no record. */
  record(key: Key): { value: V; version: number } | undefined
  /**
   * The record whose key is the longest stored prefix of `key`, itself included: of the rules stored under path
   * prefixes, the one that holds for a path. The empty key is a prefix of every key. Undefined where none is stored.
   */
  longestPrefix(key: Key): Entry<V, K> | undefined
  /**
   * The keys of a range, in ascending byte order, or descending with `reverse: true`.
   *
   * Iterators read ahead a page at a time, so that writes made while one is in use may or may not be seen by it, but no
   * key is ever seen twice, and every key that was there all the while is seen. The range is checked when the iterator
   * is made. There is nothing to release: a loop may be left at any point.
   */
  keys(range?: Range): IterableIterator<K>
  /** The values of a range, in the order of their keys. See {@link Reader.keys}. */
  values(range?: Range): IterableIterator<V>
  /** The keys and values of a range, in the order of their keys. See {@link Reader.keys}. */
  entries(range?: Range): IterableIterator<[K, V]>
  /** The records of a range, each with its version, in the order of their keys. See {@link Reader.keys}. */
  records(range?: Range): IterableIterator<Entry<V, K>>
  /**
   * A page of the keys under a prefix, rolled up at a delimiter: what S3's ListObjectsV2 answers. What is rolled up is
   * skipped, not read, so the cost grows with the items of the page and not with the keys behind them.
   *
   * @example
   * const { keys, prefixes, next } = tree.list({ prefix: 'photos/', delimiter: '/' })
   */
  list(options?: ListOptions): Listing<V, K>
  /** How many keys start with a prefix (by default: all), at a cost that does not grow with their number. */
  count(prefix?: Key): number
  /** Whether no key starts with a prefix (by default: whether the tree is empty). */
  isEmpty(prefix?: Key): boolean
}
