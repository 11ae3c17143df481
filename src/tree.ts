/** Trees: reading and writing records by key. */

import { checkBoolean, checkInteger, checkOptions, describe } from './check.js'
import type { Encoding } from './codec.js'
import type { Connection } from './connection.js'
import { invalid } from './errors.js'
import { Cursor, iterate, type Range, readEntry, readKey, readRecord, readValue } from './iterate.js'
import { type Key, plainKey, plainValue } from './key.js'
import { Collecting, type Listing, type ListOptions } from './list.js'
import { Gathering, putMany } from './many.js'
import {
  ABSENT,
  type Argument,
  type ConditionKind,
  conditionKind,
  DOUBTFUL,
  native,
  TOO_SMALL,
  type Writes,
} from './native/binding.js'
import { StoredTreePromises, type TreePromises } from './promises.js'
import type { Entry, Reader } from './reader.js'
import { roomFor, type Slab, slab } from './slab.js'
import { type Change, type WatchOptions, watch } from './watch.js'

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

const RENAME_OPTIONS = ['overwrite'] as const
const CONDITION_OPTIONS = ['ifVersion', 'ifAbsent'] as const

/** `record` has the version (a little-endian double) in front of the value. */
const VERSION_BYTES = 8
/** `longestPrefix` has the version and the key's length (doubles) in front of the value, and the key behind it. */
const PREFIX_HEADER_BYTES = 16

/** A tree as batches and transactions see it. */
export interface TreeParts {
  readonly connection: Connection
  readonly id: number
  readonly name: string
  readonly encoding: Encoding<unknown, unknown>
}

/** The parts of a tree; undefined for what is none, proxies of trees included. */
export let partsOf: (tree: unknown) => TreeParts | undefined

export class StoredTree<V, In, K extends Argument> implements Tree<V, In, K> {
  static {
    partsOf = (tree) => {
      return typeof tree === 'object' && tree !== null && #parts in tree ? tree.#parts : undefined
    }
  }

  readonly name: string
  readonly #connection: Connection
  readonly #database: number
  readonly #tree: number
  readonly #encoding: Encoding<V, In>
  readonly #keysAsBytes: boolean
  readonly #parts: TreeParts
  readonly #writes: Writes
  #promises: TreePromises<V, In, K> | undefined

  constructor(
    connection: Connection,
    tree: number,
    name: string,
    encoding: Encoding<V, In>,
    keysAsBytes: boolean,
    writes: Writes = native,
  ) {
    this.name = name
    this.#connection = connection
    this.#database = connection.handle
    this.#tree = tree
    this.#encoding = encoding
    this.#keysAsBytes = keysAsBytes
    this.#writes = writes
    this.#parts = { connection, id: tree, name, encoding: encoding as Encoding<unknown, unknown> }
  }

  get(key: Key): V | undefined {
    const room = slab
    const length = native.get(this.#database, this.#tree, key, room.bytes, room.offset)
    if (length >= 0) return this.#take(room, 0, length)
    return length === ABSENT ? undefined : this.#getAgain(key, room, length)
  }

  /** Reads a value that the addon wrote at the slab's offset, behind `skipped` bytes. */
  #take(room: Slab, skipped: number, length: number): V {
    const encoding = this.#encoding
    const start = room.offset + skipped
    // Before anything is decoded: a codec may use the database itself.
    if (encoding.keepsMemory) room.advance(skipped + length)
    return encoding.read(room, start, start + length)
  }

  #getAgain(key: Key, tried: Slab, code: number): V | undefined {
    const found = this.#fetch(key, tried, code, (again, room) =>
      native.getInto(this.#database, this.#tree, again, room.memory, room.offset),
    )
    return found && this.#take(found.room, 0, found.length)
  }

  /** Answers a code with what it asks for (plain bytes for a key, more room) until there is a value or none. */
  #fetch(
    key: Argument,
    tried: Slab,
    firstCode: number,
    call: (key: Argument, room: Slab) => number,
  ): { room: Slab; length: number } | undefined {
    let code = firstCode
    let room = tried
    let again = key
    let doubted = false
    while (code < 0) {
      if (code === ABSENT) return undefined
      if (code <= TOO_SMALL) room = roomFor(TOO_SMALL - code)
      else if (code === DOUBTFUL && !doubted) again = plainKey('key', key)
      else throw this.#connection.failure(code)
      doubted ||= code === DOUBTFUL
      code = call(again, room)
    }
    return { room, length: code }
  }

  getMany(keys: readonly Key[]): (V | undefined)[] {
    checkKeys(keys)
    this.#connection.requireOpen()
    return new Gathering(this.#tree, this.#encoding, keys).make(this.#connection)
  }

  has(key: Key): boolean {
    const found = native.has(this.#database, this.#tree, key)
    return (found >= 0 ? found : this.#withKey('key', key, found, native.has)) === 1
  }

  /** Makes a call again that said a negative code: with plain bytes where the key is doubted. */
  #withKey(
    what: string,
    key: Key,
    code: number,
    call: (database: number, tree: number, key: Argument) => number,
  ): number {
    const again = code === DOUBTFUL ? call(this.#database, this.#tree, plainKey(what, key)) : code
    if (again < 0) throw this.#connection.failure(again)
    return again
  }

  record(key: Key): { value: V; version: number } | undefined {
    const call = (again: Argument, room: Slab) =>
      native.record(this.#database, this.#tree, again, room.memory, room.offset)
    const found = this.#fetch(key, slab, call(key, slab), call)
    if (found === undefined) return undefined
    const { room, length } = found
    const version = room.double(room.offset)
    return { value: this.#take(room, VERSION_BYTES, length), version }
  }

  longestPrefix(key: Key): Entry<V, K> | undefined {
    const keysAsBytes = this.#keysAsBytes
    const call = (again: Argument, room: Slab) =>
      native.longestPrefix(this.#database, this.#tree, keysAsBytes ? 1 : 0, again, room.memory, room.offset)
    const found = this.#fetch(key, slab, call(key, slab), call)
    if (found === undefined) return undefined
    const { room, length } = found
    const version = room.double(room.offset)
    const keyStart = room.offset + PREFIX_HEADER_BYTES + length
    const keyEnd = keyStart + room.double(room.offset + VERSION_BYTES)
    const own = (keysAsBytes ? room.view(keyStart, keyEnd) : room.text(keyStart, keyEnd)) as K
    const valueStart = room.offset + PREFIX_HEADER_BYTES
    if (keysAsBytes || this.#encoding.keepsMemory) room.advance(keyEnd - room.offset)
    return { key: own, value: this.#encoding.read(room, valueStart, keyStart), version }
  }

  keys(range?: Range): IterableIterator<K> {
    return iterate(this.#cursor(false, range), readKey)
  }

  values(range?: Range): IterableIterator<V> {
    return iterate(this.#cursor(true, range), readValue(this.#encoding))
  }

  entries(range?: Range): IterableIterator<[K, V]> {
    return iterate(this.#cursor(true, range), readEntry(this.#encoding))
  }

  records(range?: Range): IterableIterator<Entry<V, K>> {
    return iterate(this.#cursor(true, range), readRecord(this.#encoding))
  }

  #cursor(values: boolean, range: Range | undefined): Cursor<K> {
    return new Cursor(this.#connection, this.#tree, { values, keysAsBytes: this.#keysAsBytes }, range)
  }

  list(options?: ListOptions): Listing<V, K> {
    return new Collecting<V, K>(this.#tree, this.#keysAsBytes, this.#encoding, options).make(this.#connection)
  }

  watch(options?: WatchOptions): AsyncIterableIterator<Change<V, K>> {
    const { name } = this
    const watched = {
      connection: this.#connection,
      tree: this.#tree,
      name,
      keysAsBytes: this.#keysAsBytes,
      encoding: this.#encoding,
    }
    return watch<V, K>(watched, options)
  }

  count(prefix: Key = ''): number {
    const count = native.count(this.#database, this.#tree, prefix)
    return count >= 0 ? count : this.#withKey('prefix', prefix, count, native.count)
  }

  isEmpty(prefix: Key = ''): boolean {
    const empty = native.isEmpty(this.#database, this.#tree, prefix)
    return (empty >= 0 ? empty : this.#withKey('prefix', prefix, empty, native.isEmpty)) === 1
  }

  put(key: Key, value: In): number
  put(key: Key, value: In, condition: Condition): number | undefined
  put(key: Key, value: In, condition?: Condition): number | undefined {
    const bytes = this.#encoding.write(value)
    if (condition !== undefined) return this.#putWhere(key, bytes, checkCondition(condition))
    const version = this.#writes.put(this.#database, this.#tree, key, bytes, conditionKind.always, 0)
    return version >= 0 ? version : this.#putAgain(key, bytes, { kind: conditionKind.always, version: 0 }, version)
  }

  #putWhere(key: Key, value: Argument, condition: CheckedCondition): number | undefined {
    const version = this.#writes.put(this.#database, this.#tree, key, value, condition.kind, condition.version)
    return version >= 0 ? version : this.#putAgain(key, value, condition, version)
  }

  #putAgain(key: Key, value: Argument, condition: CheckedCondition, firstCode: number): number | undefined {
    let code = firstCode
    if (code === DOUBTFUL) {
      const plain = [plainKey('key', key), plainValue('value', value)] as const
      code = this.#writes.put(this.#database, this.#tree, ...plain, condition.kind, condition.version)
    }
    if (code >= 0) return code
    if (code === ABSENT) return undefined
    throw this.#connection.failure(code)
  }

  putMany(entries: Iterable<readonly [Key, In]>): void {
    if (typeof entries?.[Symbol.iterator] !== 'function' || typeof entries === 'string') {
      throw invalid(`entries must be an iterable of [key, value] pairs, not ${describe(entries)}`)
    }
    this.#connection.requireOpen()
    putMany(this.#connection, this.#tree, this.#encoding, entries, this.#writes)
  }

  delete(key: Key, condition?: Condition): boolean {
    const { kind, version } = checkCondition(condition)
    const removed = this.#writes.delete(this.#database, this.#tree, key, kind, version)
    if (removed >= 0) return removed === 1
    const again = (database: number, tree: number, bytes: Argument) =>
      this.#writes.delete(database, tree, bytes, kind, version)
    return this.#withKey('key', key, removed, again) === 1
  }

  rename(from: Key, to: Key, options?: RenameOptions): boolean {
    const overwrite = checkRename(options) ? 1 : 0
    const renamed = this.#between(from, to, (database, tree, oldKey, newKey) =>
      this.#writes.rename(database, tree, oldKey, newKey, overwrite),
    )
    return renamed === 1
  }

  /** What a write from one key or prefix to another answers. */
  #between(from: Key, to: Key, write: Writes['movePrefix']): number {
    let code = write(this.#database, this.#tree, from, to)
    if (code === DOUBTFUL) code = write(this.#database, this.#tree, plainKey('from', from), plainKey('to', to))
    if (code < 0) throw this.#connection.failure(code)
    return code
  }

  movePrefix(from: Key, to: Key): number {
    return this.#between(from, to, this.#writes.movePrefix)
  }

  clonePrefix(from: Key, to: Key): number {
    return this.#between(from, to, this.#writes.clonePrefix)
  }

  deletePrefix(prefix: Key): number {
    const removed = this.#writes.deletePrefix(this.#database, this.#tree, prefix)
    return removed >= 0 ? removed : this.#withKey('prefix', prefix, removed, this.#writes.deletePrefix)
  }

  get promises(): TreePromises<V, In, K> {
    this.#promises ??= new StoredTreePromises({
      connection: this.#connection,
      id: this.#tree,
      encoding: this.#encoding,
      keysAsBytes: this.#keysAsBytes,
      over: (connection, writes) =>
        new StoredTree(connection, this.#tree, this.name, this.#encoding, this.#keysAsBytes, writes),
    })
    return this.#promises
  }
}

/** Throws where keys are not in an array. */
export function checkKeys(keys: unknown): void {
  if (!Array.isArray(keys)) throw invalid(`keys must be an array, not ${describe(keys)}`)
}

/** Whether the record that is there is to be replaced. */
export function checkRename(options: RenameOptions | undefined): boolean {
  const { overwrite } = checkOptions('rename options', options, RENAME_OPTIONS)
  return checkBoolean('overwrite', overwrite, false)
}

export interface CheckedCondition {
  kind: ConditionKind
  version: number
}

const UNCONDITIONAL: CheckedCondition = { kind: conditionKind.always, version: 0 }

export function checkCondition(condition: Condition | undefined): CheckedCondition {
  if (condition === undefined) return UNCONDITIONAL
  const { ifVersion, ifAbsent } = checkOptions('condition', condition, CONDITION_OPTIONS)
  const absent = checkBoolean('ifAbsent', ifAbsent, false)
  const version = checkInteger('ifVersion', ifVersion, 0, Number.MAX_SAFE_INTEGER, 0)
  if (ifVersion !== undefined && absent) throw invalid('condition must not have both ifVersion and ifAbsent')
  if (ifVersion !== undefined) return { kind: conditionKind.ifVersion, version }
  return { kind: absent ? conditionKind.ifAbsent : conditionKind.always, version: 0 }
}
