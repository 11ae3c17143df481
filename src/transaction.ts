/** Transactions: reads and writes that take effect together, or are done again. */

import { type AnyTree, commit, requireParts } from './batch.js'
import { checkInteger, checkOptions, describe } from './check.js'
import type { Connection } from './connection.js'
import { CoppiceError, invalid } from './errors.js'
import { Cursor, iterate } from './iterate.js'
import { type Key, keyBytes } from './key.js'
import { conditionKind } from './native/binding.js'
import { Operations, operationKind } from './operations.js'
import { roomFor, slab } from './slab.js'
import type { TreeParts } from './tree.js'

/**
 * The trees of a database as the function given to {@link Database.transact} works with them: as they are at each call,
 * with the transaction's own writes on top. Arguments and errors are those of {@link Tree}. Once the function has
 * returned, every call throws ERR_COPPICE_CLOSED.
 *
 * Writes count towards the 64 MiB of a {@link Batch}, and so does each key or prefix read.
 */
export interface Transaction {
  /** See {@link Reader.get}. The commit demands that the record is still the one read, or is still absent. */
  // biome-ignore lint/suspicious/noExplicitAny: a tree that takes anything else than it gives may be read, too.
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

const TRANSACT_OPTIONS = ['retries'] as const
const DEFAULT_RETRIES = 16

/** Runs `fn` until what it read still holds when its writes are committed; its result. */
export function transact<T>(connection: Connection, fn: (tx: Transaction) => T, options?: TransactOptions): T {
  if (typeof fn !== 'function') throw invalid(`fn must be a function, not ${describe(fn)}`)
  const { retries } = checkOptions('transact options', options, TRANSACT_OPTIONS)
  const most = checkInteger('retries', retries, 0, Number.MAX_SAFE_INTEGER, DEFAULT_RETRIES)
  connection.requireOpen()
  if (connection.transacting) {
    throw invalid('a transaction must not begin within another one on the same database; use the one that is there')
  }
  for (let run = 0; ; run++) {
    const transaction = new OpenTransaction(connection)
    try {
      const outcome = transaction.attempt(fn)
      if ('result' in outcome) return outcome.result
      if (run === most) {
        const message = `others changed ${outcome.conflict} in each of ${run + 1} runs`
        throw new CoppiceError('ERR_COPPICE_CONFLICT', message, 'cause' in outcome ? { cause: outcome.cause } : {})
      }
    } finally {
      transaction.release()
    }
  }
}

/** What came of one run: what `fn` returned, or what others changed, with what `fn` threw for that, if it did. */
type Outcome<T> = { result: T } | { conflict: string; cause?: unknown }

/** What a transaction has done with a key; what it put lies in its operations. */
type Touch = { what: 'record' | 'presence' | 'deleted' } | { what: 'put'; start: number; end: number }

/** The keys of a tree that were touched, by their bytes as Latin-1 text. */
interface TouchedTree {
  name: string
  keys: Map<string, Touch>
}

/**
 * Everything is noted in the order in which it was done, as operations of a batch: what was read as an assertion, at the
 * place where it was read. So an assertion is on the trees as others left them, with just those own writes on top that the
 * read saw, too.
 */
class OpenTransaction implements Transaction {
  readonly #connection: Connection
  readonly #operations = new Operations()
  readonly #trees = new Map<number, TouchedTree>()
  #running = true

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** Runs `fn` and commits; throws what `fn` threw, unless what it had read does not hold. */
  attempt<T>(fn: (tx: Transaction) => T): Outcome<T> {
    let result: T
    try {
      result = this.#run(fn)
    } catch (cause) {
      const conflict = this.#conflictBehindError()
      if (conflict === undefined) throw cause
      return { conflict, cause }
    }
    refusePromise(result)
    const committed = commit(this.#connection, this.#operations, true)
    return committed.committed ? { result } : { conflict: this.#conflictAt(committed.failed) }
  }

  #run<T>(fn: (tx: Transaction) => T): T {
    this.#connection.transacting = true
    try {
      return fn(this)
    } finally {
      this.#connection.transacting = false
      this.#running = false
    }
  }

  /** What was read and does not hold any more, once `fn` has thrown; writes nothing. */
  #conflictBehindError(): string | undefined {
    const [tree] = this.#trees.keys()
    const { count } = this.#operations
    if (tree === undefined) return undefined
    try {
      // Of these two, one cannot hold.
      this.#operations.add(operationKind.assert, conditionKind.ifAbsent, tree, 0, '')
      this.#operations.add(operationKind.assert, conditionKind.ifPresent, tree, 0, '')
      const checked = commit(this.#connection, this.#operations, false)
      return !checked.committed && checked.failed < count ? this.#conflictAt(checked.failed) : undefined
    } catch {
      // What `fn` threw is more to the point: a closed database, a transaction that became too large.
      return undefined
    }
  }

  #conflictAt(index: number): string {
    const { tree, key } = this.#operations.at(index)
    return `${describe(key.toString())} in the tree ${describe(this.#trees.get(tree)?.name)}`
  }

  /** Gives memory back. Nothing is called any more after this. */
  release(): void {
    this.#operations.release()
  }

  get<V>(tree: AnyTree<unknown, V>, key: Key): V | undefined {
    const { id, encoding } = this.#parts(tree)
    const bytes = keyBytes('key', key)
    const { keys } = this.#tree(id)
    const touch = keys.get(latin1(bytes))
    if (touch?.what === 'put') return this.#own(encoding, touch) as V
    if (touch?.what === 'deleted') return undefined
    const record = tree.record(bytes)
    if (touch?.what !== 'record') {
      const kind = record === undefined ? conditionKind.ifAbsent : conditionKind.ifVersion
      this.#operations.add(operationKind.assert, kind, id, record?.version ?? 0, bytes)
      keys.set(latin1(bytes), { what: 'record' })
    }
    return record?.value
  }

  has(tree: AnyTree, key: Key): boolean {
    const { id } = this.#parts(tree)
    const bytes = keyBytes('key', key)
    const { keys } = this.#tree(id)
    const touch = keys.get(latin1(bytes))
    if (touch?.what === 'put') return true
    if (touch?.what === 'deleted') return false
    const found = tree.has(bytes)
    if (touch === undefined) {
      const kind = found ? conditionKind.ifPresent : conditionKind.ifAbsent
      this.#operations.add(operationKind.assert, kind, id, 0, bytes)
      keys.set(latin1(bytes), { what: 'presence' })
    }
    return found
  }

  isEmpty(tree: AnyTree, prefix: Key): boolean {
    const { id } = this.#parts(tree)
    const bytes = keyBytes('prefix', prefix)
    const start = latin1(bytes)
    const deleted = new Set<string>()
    for (const [key, { what }] of this.#tree(id).keys) {
      if (!key.startsWith(start)) continue
      if (what === 'put') return false
      if (what === 'deleted') deleted.add(key)
    }
    const empty = deleted.size === 0 ? tree.isEmpty(bytes) : this.#holdsOnly(id, bytes, deleted)
    this.#operations.add(operationKind.assertEmpty, empty ? 1 : 0, id, 0, bytes)
    return empty
  }

  put<In>(tree: AnyTree<In>, key: Key, value: In): void {
    const { id, encoding } = this.#parts(tree)
    // May run code of the caller's, which may end this transaction.
    const encoded = encoding.write(value)
    this.#requireRunning()
    const [start, end] = this.#operations.addPut(conditionKind.always, id, 0, key, encoded)
    this.#tree(id).keys.set(latin1(keyBytes('key', key)), { what: 'put', start, end })
  }

  delete(tree: AnyTree, key: Key): void {
    const { id } = this.#parts(tree)
    this.#operations.add(operationKind.delete, conditionKind.always, id, 0, key)
    this.#tree(id).keys.set(latin1(keyBytes('key', key)), { what: 'deleted' })
  }

  #parts(tree: unknown): TreeParts {
    this.#requireRunning()
    this.#connection.requireOpen()
    const parts = requireParts(this.#connection, tree, 'transaction')
    if (!this.#trees.has(parts.id)) this.#trees.set(parts.id, { name: parts.name, keys: new Map() })
    return parts
  }

  #requireRunning(): void {
    if (!this.#running) throw new CoppiceError('ERR_COPPICE_CLOSED', 'The transaction has ended')
  }

  #tree(id: number): TouchedTree {
    const touched = this.#trees.get(id)
    if (touched === undefined) throw new CoppiceError('ERR_COPPICE_INTERNAL', `the tree of number ${id} was not noted`)
    return touched
  }

  /** What was put, as a get of it would give it. */
  #own(encoding: TreeParts['encoding'], { start, end }: { start: number; end: number }): unknown {
    const length = end - start
    const room = slab.room < length ? roomFor(length) : slab
    const offset = room.offset
    room.write(this.#operations.bytes.subarray(start, end))
    if (encoding.keepsMemory) room.advance(length)
    return encoding.read(room, offset, offset + length)
  }

  /** Whether the tree itself has no keys under a prefix but some of these. */
  #holdsOnly(tree: number, prefix: Uint8Array, deleted: Set<string>): boolean {
    const range = { prefix, limit: deleted.size + 1 }
    const cursor = new Cursor<Buffer>(this.#connection, tree, { values: false, keysAsBytes: true }, range)
    for (const key of iterate(cursor, (page) => page.key as Buffer)) {
      if (!deleted.has(latin1(key))) return false
    }
    return true
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

/** A transaction is over when its function returns; whatever a promise is for would come too late. */
function refusePromise(result: unknown): void {
  if ((typeof result !== 'object' && typeof result !== 'function') || result === null) return
  const { then } = result as { then?: unknown }
  if (typeof then !== 'function') return
  // What it still does fails, since the transaction has ended; nobody else would look at that.
  Promise.resolve(result as PromiseLike<unknown>).catch(() => undefined)
  throw invalid('fn must not be async or return a promise: a transaction ends when fn returns')
}
