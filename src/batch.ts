/** Batches: changes across trees, all or nothing. */

import { checkInteger, describe } from './check.js'
import type { Connection } from './connection.js'
import { CoppiceError, invalid } from './errors.js'
import type { Key } from './key.js'
import { conditionKind, native, REFUSED } from './native/binding.js'
import { Operations, operationKind } from './operations.js'
import {
  type Condition,
  checkCondition,
  checkRename,
  partsOf,
  type RenameOptions,
  type Tree,
  type TreeParts,
} from './tree.js'

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

/** A tree, whatever its values and keys are. */
// biome-ignore lint/suspicious/noExplicitAny: no other type takes every tree, since values both go in and come out.
export type AnyTree<In = any, V = any> = Tree<V, In, any>

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

export class OpenBatch implements Batch {
  readonly #connection: Connection
  #operations: Operations | undefined = new Operations()

  constructor(connection: Connection) {
    this.#connection = connection
  }

  put<In>(tree: AnyTree<In>, key: Key, value: In, condition?: Condition): this {
    const { id, encoding } = this.#parts(tree)
    // Both may run code of the caller's, which may use this very batch.
    const bytes = encoding.write(value)
    const { kind, version } = checkCondition(condition)
    this.#gathered().addPut(kind, id, version, key, bytes)
    return this
  }

  delete(tree: AnyTree, key: Key, condition?: Condition): this {
    const { id } = this.#parts(tree)
    const { kind, version } = checkCondition(condition)
    this.#gathered().add(operationKind.delete, kind, id, version, key)
    return this
  }

  rename(tree: AnyTree, from: Key, to: Key, options?: RenameOptions): this {
    const { id } = this.#parts(tree)
    const overwrite = checkRename(options)
    this.#gathered().addRename(overwrite, id, from, to)
    return this
  }

  movePrefix(tree: AnyTree, from: Key, to: Key): this {
    const { id } = this.#parts(tree)
    this.#gathered().addMovePrefix(id, from, to)
    return this
  }

  deletePrefix(tree: AnyTree, prefix: Key): this {
    const { id } = this.#parts(tree)
    this.#gathered().add(operationKind.deletePrefix, 0, id, 0, prefix)
    return this
  }

  assertVersion(tree: AnyTree, key: Key, version: number): this {
    const { id } = this.#parts(tree)
    if (version === undefined) throw invalid('version must be a whole number, not undefined')
    const wanted = checkInteger('version', version, 0, Number.MAX_SAFE_INTEGER, 0)
    this.#gathered().add(operationKind.assert, conditionKind.ifVersion, id, wanted, key)
    return this
  }

  assertAbsent(tree: AnyTree, key: Key): this {
    const { id } = this.#parts(tree)
    this.#gathered().add(operationKind.assert, conditionKind.ifAbsent, id, 0, key)
    return this
  }

  assertEmpty(tree: AnyTree, prefix: Key): this {
    const { id } = this.#parts(tree)
    this.#gathered().add(operationKind.assertEmpty, 1, id, 0, prefix)
    return this
  }

  commit(): BatchResult {
    return this.#commit(true)
  }

  async commitDurable(): Promise<BatchResult> {
    const result = this.#commit(false)
    return result.committed ? this.#connection.durable.settled(result) : result
  }

  #commit(settle: boolean): BatchResult {
    const operations = this.#gathered()
    this.#operations = undefined
    try {
      return commit(this.#connection, operations, settle)
    } finally {
      operations.release()
    }
  }

  #parts(tree: unknown): TreeParts {
    const operations = this.#gathered()
    this.#connection.requireOpen()
    return requireParts(this.#connection, tree, `operation ${operations.count}`)
  }

  /** What the batch holds so far; throws once it has been committed. */
  #gathered(): Operations {
    if (this.#operations !== undefined) return this.#operations
    throw new CoppiceError('ERR_COPPICE_CLOSED', 'The batch was committed already; db.batch() gives a new one')
  }
}

/** The parts of a tree that must be of this database handle; `what` begins the message where it is not. */
export function requireParts(connection: Connection, tree: unknown, what: string): TreeParts {
  const parts = partsOf(tree)
  if (parts === undefined) throw invalid(`${what}: tree must be what db.tree() gave, not ${describe(tree)}`)
  if (parts.connection !== connection) {
    throw invalid(`${what}: the tree was opened by another handle, on the database '${parts.connection.path}'`)
  }
  return parts
}

/** Does operations. With `settle`, waits for the disk where the database's durability says so. */
export function commit(connection: Connection, operations: Operations, settle: boolean): BatchResult {
  const { bytes, length, count } = operations
  const code = (settle ? native : native.unsettled).commit(connection.handle, bytes, length, count)
  if (code >= 0) return { committed: true, version: code }
  if (code <= REFUSED) return { committed: false, failed: REFUSED - code }
  throw connection.failure(code)
}
