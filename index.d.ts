// The public surface, rolled up from src/ by scripts/build.mjs: change it there.
/// <reference types="node" />

/** Every `code` that a {@link CoppiceError} of this version has. */
export type CoppiceErrorCode =
  /** The database was closed, or the iterator's was; or the batch or transaction has ended. */
  | 'ERR_COPPICE_CLOSED'
  /** Another process has the database open; or it is open for reading only and was to be written to, or the other way round. */
  | 'ERR_COPPICE_LOCKED'
  /** There is no database at the path and `create: false` was given, or the path's parent folder is missing. */
  | 'ERR_COPPICE_NOT_FOUND'
  /**
   * The database was opened with `readOnly`; or it takes no writes any more, after a write or a sync of its files failed: close
   * and open it again.
   */
  | 'ERR_COPPICE_READ_ONLY'
  /** An argument or option is not of the type, form or range that it must be; nothing was done. */
  | 'ERR_COPPICE_INVALID_ARGUMENT'
  /** A key of more than 8,192 bytes; nothing was done. */
  | 'ERR_COPPICE_KEY_TOO_LARGE'
  /** A value of more than 16 MiB (16,777,216 bytes), or of more than a quarter of `memory`; nothing was done. */
  | 'ERR_COPPICE_VALUE_TOO_LARGE'
  /** A batch of more than 64 MiB (67,108,864 bytes), or one that changes more than `memory` can hold; nothing was done. */
  | 'ERR_COPPICE_BATCH_TOO_LARGE'
  /** There are keys where a prefix was to be moved to; nothing was done. */
  | 'ERR_COPPICE_NOT_EMPTY'
  /** The tree was dropped, by this or another thread. `Database.tree` makes a new one of its name. */
  | 'ERR_COPPICE_TREE_DROPPED'
  /** Each run of a transaction was in conflict with others' writes; nothing was done. */
  | 'ERR_COPPICE_CONFLICT'
  /** A watcher was too slow: what it was not told yet is not in the journal any more. Read the tree, and watch anew. */
  | 'ERR_COPPICE_FELL_BEHIND'
  /** Bytes on disk fail their check. The message names the file and the place. */
  | 'ERR_COPPICE_CORRUPT'
  /** The database's files are of a format that this version does not read. */
  | 'ERR_COPPICE_INCOMPATIBLE_FORMAT'
  /** The operating system refused a read, a write or a sync; `cause` has its words. */
  | 'ERR_COPPICE_IO'
  /**
   * The disk is full; nothing was done. Reads go on, and writes do when there is space again. Or all of `memory` is in use at
   * once.
   */
  | 'ERR_COPPICE_NO_SPACE'
  /** A write is visible, but whether it is durable is not known. */
  | 'ERR_COPPICE_OUTCOME_UNKNOWN'
  /** The AbortSignal that was given said so; `cause` is its reason. */
  | 'ERR_COPPICE_ABORTED'
  /** What was asked for is not available on this platform or file system; or there is no addon for the platform. */
  | 'ERR_COPPICE_UNSUPPORTED'
  /** A defect of this package. Please report it. */
  | 'ERR_COPPICE_INTERNAL'
/**
 * Every error that the package throws or rejects with, save for those of your own code: what a codec, an iterable or
 * `JSON` throws reaches you unchanged.
 *
 * Decide on `code`, which is stable; show `message`, which names the option, path, tree or key concerned and may be
 * reworded in any version. `cause` is the underlying error, where there is one.
 */
export declare class CoppiceError extends Error {
  readonly code: CoppiceErrorCode
  constructor(code: CoppiceErrorCode, message: string, options?: ErrorOptions)
}
/**
 * A key: any byte string of 0 to 8,192 bytes. NUL bytes, the empty key and keys that are prefixes of one another are
 * all legal, and order is bytewise everywhere. A string stands for its UTF-8 bytes, so that `'é'` and
 * `Buffer.from('é')` are one key; a string with a lone surrogate, which has no UTF-8 form, is refused with
 * ERR_COPPICE_INVALID_ARGUMENT, a longer key with ERR_COPPICE_KEY_TOO_LARGE. Bytes are copied before a call returns.
 */
export type Key = string | Uint8Array
/**
 * What a tree without an encoding stores: 0 to 16 MiB (16,777,216 bytes); more is ERR_COPPICE_VALUE_TOO_LARGE. A string
 * is stored as its UTF-8 bytes (one with a lone surrogate is ERR_COPPICE_INVALID_ARGUMENT); what comes back is a Buffer
 * in either case.
 */
export type Bytes = Uint8Array | string
/**
 * Turns values of one type into bytes and back. What `encode` or `decode` throws reaches the caller unchanged, and
 * nothing was written then. Both run synchronously, inside `put`, `get` and so on; they may use the database.
 */
export interface Codec<V> {
  /** For messages. */
  readonly name: string
  /** The bytes to store for a value. A string is stored as UTF-8. At most 16 MiB. */
  encode(value: V): Uint8Array | string
  /**
   * The value that bytes stand for. They are a view of memory that other values lie in too (as Buffers from Node's pool
   * are): keep a copy (`Buffer.from(bytes)`) if a small piece is kept for long.
   */
  decode(bytes: Buffer): V
}
/** What a listing shows. */
export interface ListOptions {
  /** Only keys that start with this, the prefix itself included. Default: all. */
  prefix?: Key
  /**
   * One or more characters. A key that holds it behind the prefix is not shown itself: the part up to and including its
   * first occurrence there is, once for all keys that share it, among `prefixes`. Without it nothing is rolled up.
   */
  delimiter?: string
  /** Only keys greater than this (and prefixes that keys greater than this are rolled up to). */
  after?: Key
  /**
   * The `next` of the page before this one, with `prefix` and `delimiter` as they were. ERR_COPPICE_INVALID_ARGUMENT for
   * what is no `next` of a listing, or of one that ended with a key that does not start with `prefix`.
   */
  token?: string
  /** How many keys and prefixes together. A whole number; 0 gives an empty page without `next`. Default 1000. */
  limit?: number
  /** Whether to read the values of `keys` too. Default false. */
  values?: boolean
}
/** A page of a listing. */
export interface Listing<V, K = string> {
  /** Keys that were not rolled up, in byte order. */
  keys: K[]
  /** With `values: true`, the value of each of `keys`; otherwise not there. */
  values?: V[]
  /** What was rolled up, delimiter included, in byte order: each once over all pages. */
  prefixes: K[]
  /** Hand it to the next call as `token`. Not there at the end. */
  next?: string
}
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
  record(key: Key):
    | {
        value: V
        version: number
      }
    | undefined
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
/**
 * Which keys to visit, in byte order. Bounds combine: every one given must hold, and a range that nothing satisfies is
 * empty, not an error.
 */
export interface Range {
  /** Only keys that start with this, the prefix itself included. */
  prefix?: Key
  /** Only keys greater than this. */
  gt?: Key
  /** Only keys greater than or equal to this. */
  gte?: Key
  /** Only keys less than this. */
  lt?: Key
  /** Only keys less than or equal to this. */
  lte?: Key
  /** From the last key of the range to the first. Default false. */
  reverse?: boolean
  /** At most so many entries, the first ones in the order of the visit; a whole number, 0 for none. Default: all. */
  limit?: number
}
/** The type of a function as it is when it returns a promise of what it returned; both overloads of one that has two. */
export type Promised<F> = F extends {
  (...args: infer A1): infer R1
  (...args: infer A2): infer R2
}
  ? {
      (...args: A1): Promise<R1>
      (...args: A2): Promise<R2>
    }
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
  record(key: Key): Promise<
    | {
        value: V
        version: number
      }
    | undefined
  >
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
/**
 * One change to a tree. `version` is that of its commit: changes that were committed together have the same.
 *
 * A rename is the delete of one key and the put of the other. Operations on prefixes are one change each, however many keys
 * they concern, and are told as they were made; `movePrefix` leaves keys their versions, and `clonePrefix` gives the new keys
 * those of the keys that they were made of.
 */
export type Change<V, K = string> =
  | {
      type: 'put'
      key: K
      value: V
      version: number
    }
  | {
      type: 'delete'
      key: K
      version: number
    }
  | {
      type: 'movePrefix' | 'clonePrefix'
      from: K
      to: K
      version: number
    }
  | {
      type: 'deletePrefix'
      prefix: K
      version: number
    }
/** What is watched. */
export interface WatchOptions {
  /** Only changes of keys that start with this. */
  prefix?: Key
  /** Begin with what was committed behind this version, rather than with what is committed from now on. */
  after?: number
  /** Ends it: the iterator throws ERR_COPPICE_ABORTED, the signal's reason as its `cause`. */
  signal?: AbortSignal
}
/** When a write takes effect. An empty condition always holds; both at once is ERR_COPPICE_INVALID_ARGUMENT. */
export interface Condition {
  /** Only where the record has exactly this version, as `put`, `record` and `records` gave it. */
  ifVersion?: number
  /** Where true: only where there is no record of the key. */
  ifAbsent?: boolean
}
/**
 * A named tree of a database. `In` is what `put` takes: the same as `V`, save in a tree without an encoding, which takes
 * strings too and gives back Buffers.
 *
 * A write that returned is visible to every reader of the database, in all worker threads, and has survived what the
 * database's `durability` says; `Database.flush` waits until it is on disk. Besides what {@link Reader} says, writes
 * throw ERR_COPPICE_NO_SPACE and ERR_COPPICE_READ_ONLY, with nothing written, and ERR_COPPICE_OUTCOME_UNKNOWN where the
 * system failed the write or its sync: only opening the database again tells whether it was kept.
 */
export interface Tree<V, In = V, K = string> extends Reader<V, K> {
  /** The name that it was opened by. */
  readonly name: string
  /**
   * Stores a value under a key, in place of any other. Returns the record's new version: a commit sequence number,
   * which is unique in the database, increasing, and never used again, across restarts too.
   *
   * Throws ERR_COPPICE_VALUE_TOO_LARGE for a value of more than 16 MiB once encoded.
   */
  put(key: Key, value: In): number
  /** As above where the condition holds; otherwise changes nothing and returns undefined. */
  put(key: Key, value: In, condition: Condition): number | undefined
  /**
   * Stores many records in order, at a fraction of the cost of as many `put`s: they cross into the engine thousands at
   * a time. Not atomic: where an entry is refused, or the iterable throws, those in front of it may have been stored.
   */
  putMany(entries: Iterable<readonly [Key, In]>): void
  /** Removes a record. False where there was none, or the condition did not hold. */
  delete(key: Key, condition?: Condition): boolean
  /**
   * Moves one record to another key, atomically; it has a new version then. False, with nothing changed, where `from` is
   * absent, or where `to` exists and `overwrite` is not set. It costs what a put of the value does.
   *
   * From a key to itself is a rename to a key that exists: false, or with `overwrite` true, with a new version.
   */
  rename(from: Key, to: Key, options?: RenameOptions): boolean
  /**
   * Moves every key that starts with `from` to the same key with `to` in place of that, atomically; returns how many. The
   * key that equals the prefix is one of them. Records keep their versions: a move is one commit, however many it moves,
   * and costs the way to the two places, not what lies below.
   *
   * Throws ERR_COPPICE_NOT_EMPTY where a key starts with `to`; ERR_COPPICE_INVALID_ARGUMENT where one prefix starts with
   * the other, or equals it; ERR_COPPICE_KEY_TOO_LARGE where a key would grow past 8,192 bytes. Nothing was moved then.
   *
   * @example
   * db.tree('files').movePrefix('projects/old/', 'archive/2024/')
   */
  movePrefix(from: Key, to: Key): number
  /**
   * Copies every key that starts with `from` to the same key with `to` in place of that, atomically; returns how many. The
   * key that equals the prefix is one of them. The copies have the values and versions of what they are copies of. A clone is
   * one commit, however much it copies, and costs what a move does, as both sides share what lies below. They part as they
   * are written to: the first change to a shared part of either side copies the frames on the way there, 64 KiB each. So a
   * clone takes little room by itself, and what it shares stays until no side has it any more.
   *
   * Not in batches.
   *
   * Throws what {@link movePrefix} does: ERR_COPPICE_NOT_EMPTY where a key starts with `to`; ERR_COPPICE_INVALID_ARGUMENT
   * where one prefix starts with the other, or equals it, and for more than 2^40 keys; ERR_COPPICE_KEY_TOO_LARGE where a
   * copy's key would be longer than 8,192 bytes. Nothing was copied then.
   *
   * @example
   * db.tree('files').clonePrefix('templates/app/', 'projects/new/')
   */
  clonePrefix(from: Key, to: Key): number
  /**
   * Removes every key that starts with the prefix, atomically, at a cost that does not grow with their number; returns how
   * many. Their space comes back in the background, in small steps, also after the database was closed and opened again;
   * on disk it is free for other data from the next checkpoint after that. An empty prefix clears the tree.
   */
  deletePrefix(prefix: Key): number
  /**
   * Changes to the tree's keys that start with `prefix`, in commit order: what is committed from the call on, or, with
   * `after`, what was committed behind that version. Each change comes once. It is told when it is visible to readers,
   * which may be before it is on disk: a power cut that takes a write takes it although it was told.
   *
   * What a prefix has to do with an operation on another one: `movePrefix` is told where a key under `from` or under `to` can
   * start with `prefix`, `clonePrefix` where a key under `to` can, `deletePrefix` where a key under its prefix can, each as it
   * was made. So either side of a move may lie outside of what is watched, or contain it, and so may those of a clone. Where keys come in from outside, the change does not say which:
   * read what is under `to` then.
   *
   * `after` takes up a watch where another one ended: with the version of the last change whose commit is known to have come
   * whole, as the changes of a batch have one version. The journal must hold all that came since; where it does not, because a
   * checkpoint has trimmed it, the call throws ERR_COPPICE_INVALID_ARGUMENT and names the oldest version that it takes.
   * So it does for a version that is still to come. A volatile database, and one that is open with `durability: 'none'`, take
   * none but the last one.
   *
   * No writer waits for a watcher. Up to 8 MiB of changes wait in memory for each; one that is slower reads on in the
   * journal, off the event loop, and where a checkpoint has trimmed that, it throws ERR_COPPICE_FELL_BEHIND. Nothing is lost
   * without that.
   *
   * The iterator ends when the database is closed, with all that waited in memory (with ERR_COPPICE_CLOSED in place of what
   * would have to be read from the journal). It throws ERR_COPPICE_TREE_DROPPED behind the last change of a tree that is
   * dropped, ERR_COPPICE_ABORTED once `signal` says so, and what decoding a value throws. `break`, `return` and any error
   * release it. A process stays alive for it only while a call of `next` waits.
   *
   * @example
   * for await (const change of db.tree('files').watch({ prefix: 'projects/' })) {
   *   if (change.type === 'put') index.add(change.key, change.value)
   * }
   */
  watch(options?: WatchOptions): AsyncIterableIterator<Change<V, K>>
  /** The same operations with promises: those of writes resolve once the write is on disk. */
  readonly promises: TreePromises<V, In, K>
}
/** How a record is renamed. */
export interface RenameOptions {
  /** Replace a record that is there. Default false. */
  overwrite?: boolean
}
/** How a batch ended. */
export type BatchResult =
  | {
      committed: true
      /** The version of all that the batch put. A batch that changed nothing reports the database's last commit. */
      version: number
    }
  | {
      committed: false
      /** Index of the first call whose condition did not hold. Nothing was done. */
      failed: number
    }
type AnyTree<In = any, V = any> = Tree<V, In, any>
/**
 * Changes to any trees of one database that are made together: all of them or none, for readers in all threads and after a
 * crash, in one journal record. Get one from {@link Database.batch}, call what is to be done, and commit it.
 *
 * The calls gather operations and have no effect on the database. Keys and values are checked and copied when they are
 * handed over; an operation that cannot be is refused with the errors of {@link Tree}, its index and key in the message, and
 * is not part of the batch. Operations are then done in order, and each sees what those before it did. A put or delete whose
 * condition does not hold, an assertion that does not, and a rename that would have returned false all fail the batch as a
 * whole; a delete of an absent key, without a condition, does not.
 *
 * A batch has at most 64 MiB (67,108,864 bytes): its keys and values, and 24 bytes for each operation. A call that would
 * make it longer throws ERR_COPPICE_BATCH_TOO_LARGE. It is committed once: after that, every call throws
 * ERR_COPPICE_CLOSED. One that is never committed leaves nothing behind.
 *
 * @example
 * const done = db.batch()
 *   .assertVersion(accounts, 'a', versionRead)
 *   .put(accounts, 'a', changed)
 *   .delete(pending, 'job/7', { ifVersion: jobVersion })
 *   .commit()
 * if (!done.committed) console.log(`call ${done.failed} did not hold`)
 */
export interface Batch {
  /** See {@link Tree.put}. */
  put<In>(tree: AnyTree<In>, key: Key, value: In, condition?: Condition): this
  /** See {@link Tree.delete}. */
  delete(tree: AnyTree, key: Key, condition?: Condition): this
  /** See {@link Tree.rename}. */
  rename(tree: AnyTree, from: Key, to: Key, options?: RenameOptions): this
  /**
   * See {@link Tree.movePrefix}. What that throws, `commit` throws then, with nothing done by the batch: whether there are
   * keys in the way shows when the operations before it have been done.
   */
  movePrefix(tree: AnyTree, from: Key, to: Key): this
  /** See {@link Tree.deletePrefix}. */
  deletePrefix(tree: AnyTree, prefix: Key): this
  /** Fails the batch unless the record has exactly this version. */
  assertVersion(tree: AnyTree, key: Key, version: number): this
  /** Fails the batch where there is a record of this key. */
  assertAbsent(tree: AnyTree, key: Key): this
  /** Fails the batch where any key starts with this prefix. */
  assertEmpty(tree: AnyTree, prefix: Key): this
  /**
   * Does it. What was committed is visible, and has survived what the database's `durability` says. An empty batch
   * commits. Throws what writes throw ({@link Tree}).
   */
  commit(): BatchResult
  /**
   * As `commit`, with the same effects by the time it returns its promise, which resolves once the batch is on disk
   * (unless `durability` is `'none'`). Waits off the event loop. Rejects with ERR_COPPICE_OUTCOME_UNKNOWN where that
   * failed.
   */
  commitDurable(): Promise<BatchResult>
}
/** How far a job has come. */
export interface Progress {
  done: number
  /** May change while the job runs. 0 at the end of one that had nothing to do. */
  total: number
  unit: 'blobs' | 'bytes' | 'keys' | 'records'
}
/**
 * A read-only view of every tree as it was when {@link Database.snapshot} was called, whatever has been written, moved,
 * dropped or checkpointed since. Iterators and listings of several pages see one state, tokens included.
 *
 * It is released by `close` (or `using`), when the database's handle is closed, when its thread ends, and at the latest some
 * time after nothing refers to it any more, its trees and iterators included. Close it as soon as it has served: until then
 * what it shows takes room. What is written to a frame that it holds in memory is written to a copy, and a frame that a
 * checkpoint replaces keeps its place in the file; `stats().snapshots.pinnedBlobs` counts both.
 *
 * All methods throw ERR_COPPICE_CLOSED once it, or its database, is closed.
 */
export interface Snapshot extends Disposable {
  /** The last commit that it shows. */
  readonly version: number
  /**
   * A tree as it was. One that did not exist then reads as empty. Encodings and keys are as in {@link Database.tree}; a
   * handle is the same object for the same name and options.
   */
  tree(name?: string): Reader<Buffer>
  /** Values are text. */
  tree(
    name: string,
    options: {
      encoding: 'utf8'
    },
  ): Reader<string>
  /** Values are JSON. */
  tree<V = unknown>(
    name: string,
    options: {
      encoding: 'json'
    },
  ): Reader<V>
  /** Values are what a codec of your own makes of bytes. */
  tree<V>(
    name: string,
    options: {
      encoding: Codec<V>
    },
  ): Reader<V>
  /** Keys come back as Buffers. */
  tree(
    name: string,
    options: {
      keys: 'buffer'
    },
  ): Reader<Buffer, Buffer>
  /** Keys come back as Buffers, values are text. */
  tree(
    name: string,
    options: {
      encoding: 'utf8'
      keys: 'buffer'
    },
  ): Reader<string, Buffer>
  /** Keys come back as Buffers, values are JSON. */
  tree<V = unknown>(
    name: string,
    options: {
      encoding: 'json'
      keys: 'buffer'
    },
  ): Reader<V, Buffer>
  /** Keys come back as Buffers, values are what a codec of your own makes of bytes. */
  tree<V>(
    name: string,
    options: {
      encoding: Codec<V>
      keys: 'buffer'
    },
  ): Reader<V, Buffer>
  /** Releases it. A second call does nothing. */
  close(): void
  /** As `close`, for `using`. */
  [Symbol.dispose](): void
}
/**
 * The trees of a database as the function given to {@link Database.transact} works with them: as they are at each call,
 * with the transaction's own writes on top. Arguments and errors are those of {@link Tree}. Once the function has
 * returned, every call throws ERR_COPPICE_CLOSED.
 *
 * Writes count towards the 64 MiB of a {@link Batch}, and so does each key or prefix read.
 */
export interface Transaction {
  /** See {@link Reader.get}. The commit demands that the record is still the one read, or is still absent. */
  get<V>(tree: AnyTree<any, V>, key: Key): V | undefined
  /** See {@link Reader.has}. The commit demands that the answer is still the same. */
  has(tree: AnyTree, key: Key): boolean
  /** See {@link Reader.isEmpty}. The commit demands that the answer is still the same. */
  isEmpty(tree: AnyTree, prefix: Key): boolean
  /** Stores a value, when the transaction commits. */
  put<In>(tree: AnyTree<In>, key: Key, value: In): void
  /** Removes a record where there is one, when the transaction commits. */
  delete(tree: AnyTree, key: Key): void
}
/** How a transaction is run. */
export interface TransactOptions {
  /** How often `fn` is run again, at most, after conflicts. A whole number. Default 16. */
  retries?: number
}
/**
 * What one checkpoint did. Checkpoints that are asked for at about the same time share a round: one write and one sync.
 * What the round wrote and synced is told to each of them.
 */
export interface CheckpointReport {
  /** Every commit up to this one is in the blob store. */
  version: number
  /** Blobs that had changed since the checkpoint before. */
  dirtyBlobs: number
  /** Of these, how many were written: all but those that a later checkpoint of the same round wrote again. */
  flushedBlobs: number
  /** Blobs that nothing refers to any more and that were to be freed. */
  pendingDeletes: number
  /** Of these, how many were freed. */
  appliedDeletes: number
  /** By the round. */
  bytesWritten: number
  /** Syncs that the round issued to the operating system. */
  syncs: number
  /** Checkpoints that the round's write and sync served. */
  epochsCoalesced: number
  /** Milliseconds from the moment that the checkpoint shows to its report. */
  durationMs: number
}
/**
 * Counters and sizes of a database, as of now. Sizes are in bytes; counters start at 0 when the database is opened. All
 * handles on one database in a process show the same.
 */
export interface DatabaseStats {
  /** Records in all trees. */
  keys: number
  trees: number
  /** Frames and large values: the units that checkpoints write. */
  blobs: number
  /** How many frames lie on the way to a record. */
  depth: {
    max: number
    mean: number
  }
  /** Bytes in use over all bytes of frames, 0 to 1. */
  fill: number
  /** Bytes, and counts since the database was opened. */
  memory: {
    /** The option `memory`: what frames and values may take, with what `readOnly` keeps of the journal. 0 for `':memory:'`: no bound. */
    budget: number
    /** What they take: those in memory, those on their way to disk, and those given up that may still have readers. */
    used: number
    /** Of blobs in memory. */
    resident: number
    /** Of these, changed since the last checkpoint. */
    dirty: number
    /**
     * Uses of blobs that were in memory. Of the uses of one blob only the first is counted until eviction comes by, since
     * readers write nothing down where that is noted already: so this says how much of memory is in use, not how many reads
     * there were.
     */
    hits: number
    /** How many blobs had to be read from disk. */
    misses: number
    /** Of these, how many the engine's own threads read for promises, which do not wait for the disk themselves. */
    fetches: number
    /** Of these, how many the engine's own threads read before they were wanted. */
    readAheads: number
    /** How many blobs had to make way for others. */
    evictions: number
  }
  journal: {
    /** What a recovery would have to read. */
    bytes: number
    /** Appended since the database was opened. */
    appended: number
    syncs: number
    /** Records appended for each sync, on average; the number of records where there was no sync. */
    groupSize: number
    /**
     * How often a write waited for a checkpoint: because the journal was past twice `checkpoint.journalBytes`, or because too
     * much of `memory` had changed since the last one.
     */
    stalls: number
  }
  checkpoint: {
    /** Rounds of the checkpoint thread that succeeded. One round may serve several checkpoints. */
    rounds: number
    failures: number
    bytesWritten: number
    /** Checkpoints that wait for the thread, or are being written by it. */
    queueDepth: number
    /** Whether io_uring writes them. */
    ioUring: boolean
    /** What the last round that failed says of it; not there where none has. */
    lastError?: string
  }
  snapshots: {
    /** Snapshots that are open, in all threads. */
    open: number
    /** The version of the oldest; not there where none is open. */
    oldestVersion?: number
    /** Frames and large values that are kept for snapshots alone, in memory or on disk: changed or freed since. */
    pinnedBlobs: number
  }
  disk: {
    /** Of the database's files together, by their lengths. */
    bytes: number
    /** Of these, free to be used again; some of it the file system may have back meanwhile, where files can have holes. */
    free: number
  }
}
/** What {@link Database.verify} found. */
export interface VerifyReport {
  /** Whether nothing is wrong: `problems` is empty. */
  ok: boolean
  /** The last commit that was looked at: all before the call, and none made since. */
  version: number
  trees: number
  /** Records in all trees; where a frame cannot be read, without those behind it. */
  keys: number
  /** Frames and large values that were looked at, those included that are on disk and not in use any more. */
  blobs: number
  /** Their bytes. */
  bytes: number
  /**
   * Everything that is wrong. `file` is a file in the database's folder, or `'memory'` for a frame that is not on disk as
   * it is now; empty where it is not one file's. `offset` is in bytes.
   */
  problems: {
    file: string
    offset: number
    what: string
  }[]
}
/** The forms of {@link Database} that return a promise. */
export interface DatabasePromises {
  /** See {@link Database.flush}. */
  flush(): Promise<void>
  /** See {@link Database.checkpoint}. */
  checkpoint(): Promise<CheckpointReport>
  /** As {@link Database.close}, off the event loop. The database is closed to new calls at once. */
  close(): Promise<void>
}
/**
 * An open database. Get one from {@link open}.
 *
 * All methods but `close` throw, or reject with, ERR_COPPICE_CLOSED once it is closed. Where it was opened with `readOnly`,
 * those that write, `flush` and `checkpoint` included, throw ERR_COPPICE_READ_ONLY.
 */
export interface Database extends Disposable, AsyncDisposable {
  /** The path that it was opened by. */
  readonly path: string
  /**
   * Opens a tree, creating it where there is none. Trees are apart from one another: each has its own keys. The name is
   * any text of up to 1,024 bytes; the default tree's is empty.
   *
   * A handle is cheap, is good until the database is closed or the tree dropped, and is the same object for the same name
   * and options. One tree may be opened with different encodings at once: they are views of the same bytes.
   *
   * Without options, values go in as bytes or text and come back as Buffers.
   */
  tree(name?: string): Tree<Buffer, Bytes>
  /** Values are text. Bytes that are not UTF-8 (stored through another handle) come back with U+FFFD in their place. */
  tree(
    name: string,
    options: {
      encoding: 'utf8'
    },
  ): Tree<string>
  /**
   * Values are whatever JSON can say, stored as text. ERR_COPPICE_INVALID_ARGUMENT for a value that has no JSON form
   * (undefined, a function); what `JSON` throws, for a cycle or for stored bytes that are no JSON, is thrown as it is.
   */
  tree<V = unknown>(
    name: string,
    options: {
      encoding: 'json'
    },
  ): Tree<V>
  /** Values are what a codec of your own makes of bytes. */
  tree<V>(
    name: string,
    options: {
      encoding: Codec<V>
    },
  ): Tree<V>
  /** Keys come back as Buffers, for names that need not be UTF-8; without `keys: 'buffer'` such a key is refused. */
  tree(
    name: string,
    options: {
      keys: 'buffer'
    },
  ): Tree<Buffer, Bytes, Buffer>
  /** Keys come back as Buffers, values are text. */
  tree(
    name: string,
    options: {
      encoding: 'utf8'
      keys: 'buffer'
    },
  ): Tree<string, string, Buffer>
  /** Keys come back as Buffers, values are JSON. */
  tree<V = unknown>(
    name: string,
    options: {
      encoding: 'json'
      keys: 'buffer'
    },
  ): Tree<V, V, Buffer>
  /** Keys come back as Buffers, values are what a codec of your own makes of bytes. */
  tree<V>(
    name: string,
    options: {
      encoding: Codec<V>
      keys: 'buffer'
    },
  ): Tree<V, V, Buffer>
  /** The names of all trees, in byte order of their UTF-8. */
  trees(): string[]
  /**
   * Removes a tree with all its keys, at a cost that does not grow with their number. False where there is none of that
   * name. Every handle of it, in all worker threads, fails with ERR_COPPICE_TREE_DROPPED from then on; a tree made by the
   * same name later is a new one. Space comes back as after {@link Tree.deletePrefix}.
   */
  dropTree(name: string): boolean
  /** Begins a batch: changes across any trees of this database, all or nothing. See {@link Batch}. */
  batch(): Batch
  /**
   * Runs `fn`, which reads and writes through the transaction that it is given, and commits its writes together, all or
   * nothing, if everything that it read still holds then. Otherwise, because another thread changed that meanwhile,
   * nothing is written and `fn` runs again, from the start; after `retries` further runs ERR_COPPICE_CONFLICT is thrown.
   * Returns what `fn` returned. Nothing is locked meanwhile.
   *
   * So `fn` may run more than once and should have no effects of its own. What it reads in a run that ends in a conflict
   * may not fit together. What it throws reaches you, with nothing written, unless what it had read did not hold any more:
   * then it runs again. It must be synchronous: a promise, as an async function returns it, is refused with
   * ERR_COPPICE_INVALID_ARGUMENT, and nothing is written.
   *
   * Reads and writes that go around the transaction, directly to a tree, are no part of it; one that writes to what the
   * transaction has read is a conflict. A transaction within another one of the same `Database` is refused with
   * ERR_COPPICE_INVALID_ARGUMENT.
   *
   * @example
   * const id = db.transact((tx) => {
   *   const next = (tx.get(counters, 'id') ?? 0) + 1
   *   tx.put(counters, 'id', next)
   *   return next
   * })
   */
  transact<T>(fn: (tx: Transaction) => T, options?: TransactOptions): T
  /**
   * A stable, read-only view of every tree as of now. It blocks nobody, and reads nothing from disk to be taken; the cost is
   * some 60 ns for each frame and large value that was changed since the last checkpoint. Where more has changed than snapshots
   * may hold of `memory` (58 MiB of 256), the call makes a checkpoint first and waits for it. See {@link Snapshot}.
   *
   * @example
   * using snapshot = db.snapshot()
   * for (const [key, value] of snapshot.tree('objects').entries()) archive(key, value) // while others write
   */
  snapshot(): Snapshot
  /**
   * Resolves when all that was written before the call is on disk, and so survives a power cut. Rejects with
   * ERR_COPPICE_IO where that failed, from when on the database takes no writes (ERR_COPPICE_READ_ONLY). Runs off the
   * event loop.
   */
  flush(): Promise<void>
  /**
   * Resolves when all that was written before the call is in the blob store, and the journal is cut down to what came
   * after. Checkpoints also happen by themselves (see {@link OpenOptions.checkpoint}) and at `close`; one by hand makes
   * the next open quicker. Rejects with ERR_COPPICE_NO_SPACE where the disk is full (nothing is lost then, and a later
   * one may succeed), else as `flush` does. Runs off the event loop.
   */
  checkpoint(): Promise<CheckpointReport>
  /**
   * Reads everything that is on disk and checks it, and that all frames as of now hang together: every checksum; each
   * frame's own order and counts; that each frame and large value is led to exactly once, by what it says it is; that
   * keys and versions are within their bounds; that every tree with keys has a name. Reports everything that is wrong,
   * with its place.
   *
   * Changes nothing. Runs off the event loop, and others read and write meanwhile; what they write is no part of it. File
   * space that checkpoints free until it is done is not used again before.
   */
  verify(options?: { signal?: AbortSignal; onProgress?: (progress: Progress) => void }): Promise<VerifyReport>
  /**
   * Gives file space back to the system: frees what was deleted, makes a checkpoint, moves what lies at the end of the file of
   * blobs into gaps below, a few megabytes at a time, and cuts the end off. Others read and write meanwhile. What open
   * snapshots show keeps its place. Runs off the event loop; progress is told in bytes moved. Called off, it keeps what it has
   * done. A volatile database has nothing to give back.
   *
   * It also happens by itself, in small steps, where more than two thirds of the file, and more than 64 MiB, are free.
   *
   * Rejects as `checkpoint` does; with ERR_COPPICE_CORRUPT where something that was to be moved is damaged, which stays where
   * it is; and with ERR_COPPICE_ABORTED.
   */
  compact(options?: { signal?: AbortSignal; onProgress?: (progress: Progress) => void }): Promise<{
    bytesFreed: number
  }>
  /**
   * Copies everything, as it is at one moment behind the call, to a new folder, where it is a database of its own: it can be
   * opened at once, anywhere, and knows nothing of this one. Others read and write meanwhile; what they write behind that
   * moment is no part of the copy. What is read from disk is checked on the way. Runs off the event loop, in a few megabytes of memory beside
   * what a {@link Snapshot} takes; progress is told in blobs.
   *
   * `destination` is a path at which there is nothing (its parent folder exists) or an empty folder. Resolves when every file
   * and folder of the copy is on disk. Until then there is no database there; after a failure, or an abort, nothing of it is
   * left. A process that dies meanwhile leaves a folder that no `open` takes for a database.
   *
   * Rejects with ERR_COPPICE_INVALID_ARGUMENT for a destination that is a file, is not empty, lies inside this database, or is
   * a link that leads to nothing, and for ':memory:';
   * ERR_COPPICE_NOT_FOUND where its parent folder is missing; ERR_COPPICE_NO_SPACE, ERR_COPPICE_IO;
   * ERR_COPPICE_CORRUPT where something that is to be copied is damaged; ERR_COPPICE_ABORTED.
   *
   * @example
   * await db.backup(`backups/${new Date().toISOString()}.db`, { signal: AbortSignal.timeout(3_600_000) })
   */
  backup(
    destination: string,
    options?: {
      signal?: AbortSignal
      onProgress?: (progress: Progress) => void
    },
  ): Promise<void>
  /** Counters and sizes, as of now. */
  stats(): DatabaseStats
  /**
   * The figures of `stats` in the text format of Prometheus, to be served to its scrapes as it is. Names begin with
   * `coppice_` and end in the unit, those of counters in `_total`; the label `path` is the database's path.
   */
  metrics(): string
  /** The same as methods of one object that return promises. */
  readonly promises: DatabasePromises
  /**
   * Flushes, checkpoints, and releases the database's folder, unless other handles in this process still have it open.
   * Waits for the disk; `promises.close` does the same without holding up the event loop. Throws what could not be made
   * durable; the database is closed all the same. A second call does nothing.
   *
   * A database that is not closed loses nothing that its `durability` promised; the next open takes longer.
   */
  close(): void
  /** As `close`, for `using`. */
  [Symbol.dispose](): void
  /** As `promises.close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}
/**
 * Published on the channel `coppice:checkpoint` when a checkpoint is on disk: those that happen by themselves too, within 50
 * milliseconds then.
 */
export interface CheckpointMessage {
  /** The database's path. */
  path: string
  report: CheckpointReport
}
/** Published on the channel `coppice:recovery` when a database was opened whose journal had to be read. */
export interface RecoveryMessage {
  /** The database's path. */
  path: string
  /** Records of the journal that were applied. */
  records: number
  /** Bytes of journal that were read. */
  bytes: number
  durationMs: number
}
/**
 * Published on the channel `coppice:backpressure` when a write has waited, because the journal was past twice
 * `checkpoint.journalBytes`, or too much of `memory` had changed since the last checkpoint.
 */
export interface BackpressureMessage {
  /** The database's path. */
  path: string
  /** Milliseconds. */
  waitedMs: number
}
/**
 * Published on the channel `coppice:error` when a checkpoint has failed (the disk is full: ERR_COPPICE_NO_SPACE), and when a
 * failure has made the database read-only.
 */
export interface ErrorMessage {
  /** The database's path. */
  path: string
  error: CoppiceError
}
/** How to open a database. An option that is not listed here is ERR_COPPICE_INVALID_ARGUMENT. */
export interface OpenOptions {
  /** Create the database where there is none. Default true; false fails with ERR_COPPICE_NOT_FOUND then. */
  create?: boolean
  /**
   * Only read. No file is changed, so that a database on a medium that takes no writes can be opened; what a crash left in the
   * journal is replayed in memory. Every method that writes, `flush` and `checkpoint` included, fails with
   * ERR_COPPICE_READ_ONLY; a tree that does not exist reads as empty; `create` does not count. Default false.
   *
   * Shares the database with others who only read, in this process and in others, and never with one who writes: whoever
   * comes second fails with ERR_COPPICE_LOCKED, in the same process too. Not for `':memory:'`.
   */
  readOnly?: boolean
  /**
   * What a synchronous write that returned has already survived:
   *
   * - `'process'` (default): the death of this process, SIGKILL included. A power cut may take what was written since
   *   the last background sync began (`syncInterval`): always the newest writes, never a hole.
   * - `'disk'`: a power cut. The call returns after a sync of the journal, which concurrent writers share.
   * - `'none'`: nothing since the last checkpoint. For bulk loads, and caches that can be built again.
   *
   * In every mode `flush()` resolves when what was written before it is on disk. Of handles in one process on one
   * database, the first to open it decides.
   */
  durability?: 'process' | 'disk' | 'none'
  /** Milliseconds between background syncs in `'process'` mode: a whole number, 1 to 3,600,000. Default 100. */
  syncInterval?: number
  /**
   * A bound on what the engine caches: bytes, a whole number, or text with a unit such as `'1GiB'` (B, KiB, MiB, GiB or
   * TiB). At least 4 MiB; default 256 MiB. Frames and large values count, in memory, on their way to disk, or held by
   * snapshots; what is not in use and on disk is evicted for others. Beside it the engine keeps about 200 bytes for each
   * blob, the journal's mapped segments, and what one operation works with.
   *
   * A value over a quarter of it is ERR_COPPICE_VALUE_TOO_LARGE; a batch or transaction with such a value, or one that
   * changes more than it can hold, ERR_COPPICE_BATCH_TOO_LARGE when it is committed. A write waits while too much has changed
   * since the last checkpoint. `':memory:'` has no bound, as there is no disk to evict to. With `readOnly` what the journal
   * adds stays in memory, beside the bound. Of handles in one process on one database, the first to open it decides.
   */
  memory?: number | string
  /** When checkpoints happen by themselves. */
  checkpoint?: {
    /**
     * Journal bytes that may accumulate before a checkpoint clears them away: a whole number, or text with a unit such
     * as `'256MiB'` (B, KiB, MiB, GiB or TiB). Bounds disk use and the time that recovery takes. At least 64 KiB;
     * default 256 MiB.
     */
    journalBytes?: number | string
    /**
     * Checkpoints that may wait for the thread that writes them, each with the frames that it holds: a whole number, 1 to
     * 1,024. One more waits to be taken. Default 16.
     */
    queueDepth?: number
    /** Checkpoints that are asked for at about the same time are written and synced together. */
    coalesce?: {
      /** How many at most: a whole number, 1 to 1,024. Default 64. */
      epochs?: number
      /** Microseconds for which the first waits for others: a whole number, 0 to 1,000,000. Default 100. */
      windowMicros?: number
    }
    /**
     * Linux: whether frames are read and written by io_uring.
     *
     * - `'auto'` (default): where the kernel lets this process have it.
     * - `true`: always. Where that cannot be, which includes every other system, opening fails with
     *   ERR_COPPICE_UNSUPPORTED.
     * - `false`: never.
     *
     * Which it is, `stats().checkpoint.ioUring` says.
     */
    ioUring?: 'auto' | boolean
  }
}
/**
 * Opens the database in a folder, creating both where there is none (but not the parent folder). Recovers what a crash
 * left, before it returns.
 *
 * `path` is the database's folder. `':memory:'` gives a volatile database instead, a new one at each call, whose
 * options are checked and do not matter. The same folder opened again in this process, from worker threads too, shares
 * one engine; each handle is closed on its own.
 *
 * Throws a `CoppiceError` with
 * - ERR_COPPICE_LOCKED where another process has the database open, or this one for reading only, or the other way round,
 * - ERR_COPPICE_NOT_FOUND where there is none and `create` is false, or where the parent folder is missing,
 * - ERR_COPPICE_INCOMPATIBLE_FORMAT where its files are of a format that this version does not read,
 * - ERR_COPPICE_CORRUPT where its files are damaged,
 * - ERR_COPPICE_IO, ERR_COPPICE_NO_SPACE where the operating system refuses,
 * - ERR_COPPICE_UNSUPPORTED where `checkpoint.ioUring` is true and this process can have no io_uring,
 * - ERR_COPPICE_INVALID_ARGUMENT for a path or an option that cannot be: a path that is a file, or a folder with other
 *   things in it, too.
 *
 * None of them changes what is at the path; where a database was to be made and failed (ERR_COPPICE_NO_SPACE, ERR_COPPICE_IO), a
 * folder with its lock and nothing else may be left, in which the next call makes one.
 *
 * @example
 * using db = open('catalog.db')
 * const tree = db.tree('objects', { encoding: 'json' })
 * tree.put('photos/2024/cat.jpg', { size: 48213 })
 * tree.list({ prefix: 'photos/', delimiter: '/' }).prefixes // ['photos/2024/']
 */
export declare function open(path: string, options?: OpenOptions): Database
/** How to open a database off the event loop. */
export interface OpenAsyncOptions extends OpenOptions {
  /**
   * Gives the opening up: the promise rejects at once with ERR_COPPICE_ABORTED, whose `cause` is the signal's reason. What
   * is being opened by then is closed again in the background. A signal that comes later does nothing.
   */
  signal?: AbortSignal
  /**
   * Told how far recovery is, in bytes of journal: about ten times a second, and once at its end. `total` is too large while
   * the journal's last segment is read, since only that shows where it ends. Not called where there is no journal to read:
   * in a new database, or one that is open in this process already. What it throws gives the opening up, as `signal`
   * does, and is what the promise rejects with.
   */
  onProgress?: (progress: Progress) => void
}
/**
 * As {@link open}, with the recovery off the event loop. Rejects with what `open` throws, and with ERR_COPPICE_ABORTED.
 *
 * Openings in one process take turns: an `open` meanwhile, of whatever path, waits for the end of this one.
 *
 * @example
 * await using db = await openAsync('catalog.db', { signal: AbortSignal.timeout(10_000) })
 */
export declare function openAsync(path: string, options?: OpenAsyncOptions): Promise<Database>
/**
 * Keys whose records {@link salvage} could not keep: of those in the damaged database that begin with `first`, with `last`, or
 * that lie between the two.
 */
export interface LostKeys {
  /** Absent where it is not known which tree they were in, or where they were in several; then `first` and `last` are empty. */
  tree?: string
  /** Bytes. Where one record's large value was lost, this and `last` are its whole key. */
  first: Buffer
  last: Buffer
  /** How many they were, as far as that is known. */
  records: number
}
/** What {@link salvage} kept and lost. */
export interface SalvageReport {
  /** Whether nothing is wrong with the damaged database: `problems` is empty, and everything was kept. */
  ok: boolean
  /**
   * The last commit of the damaged database that the trees of the new one show, less what was lost. Absent where the slot map is
   * damaged so that it does not say which that is.
   */
  version?: number
  /** Trees of the new database, but for `lostAndFound`. */
  trees: number
  /** Records in them. */
  keys: number
  /** The name of the tree of what is sound and has no place; absent where there is nothing of the kind. */
  lostAndFound?: string
  /** Records in it. */
  unplaced: number
  /** Frames that could not be read. */
  lostFrames: number
  /** Large values that could not be read. */
  lostValues: number
  /** What was lost, as far as its place is known: 10,000 entries at most. */
  lost: LostKeys[]
  /** Everything that is wrong with the damaged database, as in a {@link VerifyReport}: 10,000 at most, and one that says how many more. */
  problems: {
    file: string
    offset: number
    what: string
  }[]
}
/**
 * Rebuilds a damaged database in a new folder from what still passes its checks. Of the damaged one no byte is changed; it
 * may lie on a medium that takes no writes, and must not be open to write.
 *
 * The trees of the new database hold what those of the damaged one held as of one commit, `version`, less what was lost, and
 * nothing else: never a value of another key, and none from before. That commit is the last one, unless part of the journal is
 * lost; then it is the last one before that. What is sound too goes to a tree of its own, `lostAndFound`, under these keys:
 *
 * - `frame-<number>/…` where the frame above is lost, and with it how keys begin: the rest of the key;
 * - `value-<number>` where a large value's record is lost;
 * - `journal/<tree>/…` where commits before are lost: what was put since;
 * - `old/<tree>/…` where part of the slot map is lost: these may be out of date, or deleted.
 *
 * A tree whose name is lost is called `tree-<number>`. Versions are new. Where the whole slot map is lost (`map-*.log`), frames
 * cannot be found any more, and what the journal has is all that is kept.
 *
 * `destination` is a path at which there is nothing (its parent folder exists) or an empty folder; it is no database before all
 * of it is on disk, and after a failure nothing of it is left. Runs off the event loop; progress is told in blobs.
 *
 * Rejects with ERR_COPPICE_NOT_FOUND where there is nothing of a database at `source`, or the destination's parent folder is
 * missing; ERR_COPPICE_CORRUPT where no file there says any more which database it was; ERR_COPPICE_LOCKED while somebody
 * writes to it; ERR_COPPICE_INVALID_ARGUMENT for a destination that is not empty, or lies inside the source;
 * ERR_COPPICE_IO, also where a file of the damaged database is there and cannot be opened, which is no damage (a copy of the folder
 * without that file can be salvaged); ERR_COPPICE_INCOMPATIBLE_FORMAT, ERR_COPPICE_NO_SPACE, ERR_COPPICE_ABORTED.
 *
 * @example
 * const { ok, keys, lost } = await salvage('catalog.db', 'rescued.db')
 */
export declare function salvage(
  source: string,
  destination: string,
  options?: {
    signal?: AbortSignal
    onProgress?: (progress: Progress) => void
  },
): Promise<SalvageReport>
