/** Snapshots: what every tree held at one moment. */

import type { Codec } from './codec.js'
import { Connection } from './connection.js'
import { CoppiceError } from './errors.js'
import { TreeHandles, type TreeOptions } from './handles.js'
import type { Range } from './iterate.js'
import type { Key } from './key.js'
import type { Listing, ListOptions } from './list.js'
import { native } from './native/binding.js'
import type { Entry, Reader } from './reader.js'

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
  tree(name: string, options: { encoding: 'utf8' }): Reader<string>
  /** Values are JSON. */
  tree<V = unknown>(name: string, options: { encoding: 'json' }): Reader<V>
  /** Values are what a codec of your own makes of bytes. */
  tree<V>(name: string, options: { encoding: Codec<V> }): Reader<V>
  /** Keys come back as Buffers. */
  tree(name: string, options: { keys: 'buffer' }): Reader<Buffer, Buffer>
  /** Keys come back as Buffers, values are text. */
  tree(name: string, options: { encoding: 'utf8'; keys: 'buffer' }): Reader<string, Buffer>
  /** Keys come back as Buffers, values are JSON. */
  tree<V = unknown>(name: string, options: { encoding: 'json'; keys: 'buffer' }): Reader<V, Buffer>
  /** Keys come back as Buffers, values are what a codec of your own makes of bytes. */
  tree<V>(name: string, options: { encoding: Codec<V>; keys: 'buffer' }): Reader<V, Buffer>
  /** Releases it. A second call does nothing. */
  close(): void
  /** As `close`, for `using`. */
  [Symbol.dispose](): void
}

/** Releases snapshots that were forgotten: nothing refers to their connection any more. */
const forgotten = new FinalizationRegistry<number>((handle) => native.closeSnapshot(handle))

/** A snapshot as its trees and iterators see it: the handle is the snapshot's. */
class SnapshotConnection extends Connection {
  readonly #database: Connection

  constructor(database: Connection, handle: number) {
    super(database.path, handle)
    this.#database = database
    forgotten.register(this, handle, this)
  }

  override requireOpen(): void {
    this.#database.requireOpen()
    if (!this.open)
      throw new CoppiceError('ERR_COPPICE_CLOSED', `The snapshot of the database '${this.path}' is closed`)
  }

  override failure(code: number): CoppiceError {
    const failure = super.failure(code)
    // Which of the two was closed, the handle does not tell.
    if (failure.code === 'ERR_COPPICE_CLOSED') this.requireOpen()
    return failure
  }

  close(): void {
    if (!this.open) return
    this.open = false
    forgotten.unregister(this)
    native.closeSnapshot(this.handle)
  }
}

export class OpenSnapshot implements Snapshot {
  readonly version: number
  readonly #connection: SnapshotConnection
  readonly #handles: TreeHandles

  /** Takes a snapshot of the database as of now. */
  constructor(database: Connection) {
    database.requireOpen()
    const { handle, version } = database.resultOf(native.snapshot(database.handle))
    this.version = version
    this.#connection = new SnapshotConnection(database, handle)
    this.#handles = new TreeHandles(this.#connection, (tree) => new SnapshotReader(tree))
  }

  // The overloads of the interface meet here; which one was called decides the types, the options decide the rest.
  tree<V, K extends string | Buffer>(name = '', options?: TreeOptions): Reader<V, K> & Reader<Buffer> {
    return this.#handles.open(name, options) as Reader<V, K> & Reader<Buffer>
  }

  close(): void {
    this.#connection.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** The reading side of a tree, without the rest. */
class SnapshotReader<V, K> implements Reader<V, K> {
  readonly #tree: Reader<V, K>

  constructor(tree: Reader<V, K>) {
    this.#tree = tree
  }

  get(key: Key): V | undefined {
    return this.#tree.get(key)
  }

  getMany(keys: readonly Key[]): (V | undefined)[] {
    return this.#tree.getMany(keys)
  }

  has(key: Key): boolean {
    return this.#tree.has(key)
  }

  record(key: Key): { value: V; version: number } | undefined {
    return this.#tree.record(key)
  }

  longestPrefix(key: Key): Entry<V, K> | undefined {
    return this.#tree.longestPrefix(key)
  }

  keys(range?: Range): IterableIterator<K> {
    return this.#tree.keys(range)
  }

  values(range?: Range): IterableIterator<V> {
    return this.#tree.values(range)
  }

  entries(range?: Range): IterableIterator<[K, V]> {
    return this.#tree.entries(range)
  }

  records(range?: Range): IterableIterator<Entry<V, K>> {
    return this.#tree.records(range)
  }

  list(options?: ListOptions): Listing<V, K> {
    return this.#tree.list(options)
  }

  count(prefix?: Key): number {
    return this.#tree.count(prefix)
  }

  isEmpty(prefix?: Key): boolean {
    return this.#tree.isEmpty(prefix)
  }
}
