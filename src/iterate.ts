/**
 * Ranges, and the iterators over them. An iterator holds a page at a time and no native state: the next page is asked
 * for with the last key of this one, so there is nothing to release when a loop ends, throws or is forgotten.
 */

import { setImmediate as nextTurn } from 'node:timers/promises'
import { checkBoolean, checkInteger, checkOptions } from './check.js'
import type { Encoding } from './codec.js'
import type { Connection } from './connection.js'
import { Fetches } from './fetches.js'
import { type Key, keptKey } from './key.js'
import { type Argument, native, pageFlag } from './native/binding.js'
import { PAGE_ENTRIES, type Page, type PageParts, requestPage } from './page.js'
import type { Entry } from './reader.js'

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

const RANGE_OPTIONS = ['prefix', 'gt', 'gte', 'lt', 'lte', 'reverse', 'limit'] as const

/** Without a limit the first page is small, for loops that end early; pages grow to PAGE_ENTRIES. */
const FIRST_PAGE_ENTRIES = 64
const PAGE_GROWTH = 4

interface Bound {
  key: Argument
  exclusive: boolean
}

/** Asks for the pages of a range, one after the other. */
export class Cursor<K extends Argument> {
  readonly connection: Connection
  readonly #tree: number
  readonly #parts: PageParts
  readonly #prefix: Argument
  readonly #reverse: boolean
  #lower: Bound | undefined
  #upper: Bound | undefined
  #remaining: number
  #entries: number
  #page: Page<K> | undefined

  /** Checks the range; asks for nothing yet. */
  constructor(connection: Connection, tree: number, parts: PageParts, range: Range | undefined) {
    const { prefix, gt, gte, lt, lte, reverse, limit } = checkOptions('range', range, RANGE_OPTIONS)
    connection.requireOpen()
    this.connection = connection
    this.#tree = tree
    this.#parts = parts
    this.#prefix = prefix === undefined ? '' : keptKey('prefix', prefix)
    const above = bound('gt', gt, true)
    const below = bound('lt', lt, true)
    this.#lower = tighter(above, bound('gte', gte, false), 1)
    this.#upper = tighter(below, bound('lte', lte, false), -1)
    this.#reverse = checkBoolean('reverse', reverse, false)
    this.#remaining = checkInteger('limit', limit, 0, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY)
    // A limit says how many are wanted: each page costs a walk down the tree.
    this.#entries = this.#remaining <= PAGE_ENTRIES ? PAGE_ENTRIES : FIRST_PAGE_ENTRIES
  }

  /**
   * The page behind the one before, which was read to its end, as `connection` gives it; undefined where there is none. Where
   * it throws it may be called again.
   */
  next(connection = this.connection): Page<K> | undefined {
    if (this.#page !== undefined) {
      if (!this.#page.more || this.#remaining === 0) return undefined
      const last = { key: keptKey('key', this.#page.key), exclusive: true }
      if (this.#reverse) this.#upper = last
      else this.#lower = last
      this.#entries = Math.min(this.#entries * PAGE_GROWTH, PAGE_ENTRIES)
    } else if (this.#remaining === 0) {
      return undefined
    }
    this.#page = this.#request(connection)
    this.#remaining -= this.#page.count
    return this.#page
  }

  #request(connection: Connection): Page<K> {
    const { handle } = connection
    const limit = Math.min(this.#entries, this.#remaining)
    const flags = this.#flags()
    const lower = this.#lower?.key ?? ''
    const upper = this.#upper?.key ?? ''
    return requestPage(connection, this.#parts, (figures, slab, offset) =>
      native.scan(handle, this.#tree, flags, limit, figures, slab, offset, this.#prefix, lower, upper),
    )
  }

  #flags(): number {
    let flags = this.#parts.values ? pageFlag.values : 0
    if (this.#parts.keysAsBytes) flags |= pageFlag.keysAsBytes
    if (this.#reverse) flags |= pageFlag.reverse
    if (this.#lower !== undefined) flags |= this.#lower.exclusive ? pageFlag.lowerExclusive : pageFlag.lower
    if (this.#upper !== undefined) flags |= this.#upper.exclusive ? pageFlag.upperExclusive : pageFlag.upper
    return flags
  }
}

/** Walks a cursor's entries, reading each as it is reached. Fails once the database is closed. */
export function* iterate<K extends Argument, T>(
  cursor: Cursor<K>,
  read: (page: Page<K>) => T,
): Generator<T, void, undefined> {
  for (let page = cursor.next(); page !== undefined; page = cursor.next()) {
    try {
      while (page.next()) {
        cursor.connection.requireOpen()
        yield read(page)
      }
    } finally {
      page.release()
    }
  }
}

/** As `iterate`, leaving the event loop to others between one page and the next, and while a page needs the disk. */
export async function* iterateInTurns<K extends Argument, T>(
  cursor: Cursor<K>,
  read: (page: Page<K>) => T,
): AsyncGenerator<T, void, undefined> {
  const next = () => Fetches.of(cursor.connection).answer({ make: (connection) => cursor.next(connection) })
  for (let page = await next(); page !== undefined; page = await next()) {
    try {
      while (page.next()) {
        cursor.connection.requireOpen()
        yield read(page)
      }
    } finally {
      page.release()
    }
    await nextTurn()
  }
}

/** What is read of each entry, for keys, values, entries and records. */
export function readKey<K>(page: Page<K>): K {
  return page.key as K
}

export function readValue<V>(encoding: Encoding<V, never>): (page: Page<unknown>) => V {
  return (page) => page.value(encoding)
}

export function readEntry<K, V>(encoding: Encoding<V, never>): (page: Page<K>) => [K, V] {
  return (page) => [page.key as K, page.value(encoding)]
}

export function readRecord<K, V>(encoding: Encoding<V, never>): (page: Page<K>) => Entry<V, K> {
  return (page) => ({ key: page.key as K, value: page.value(encoding), version: page.version })
}

function bound(what: string, key: Key | undefined, exclusive: boolean): Bound | undefined {
  return key === undefined ? undefined : { key: keptKey(what, key), exclusive }
}

/** The one of two bounds that leaves less: the greater (sign 1) or the lesser (sign -1); of equals the exclusive one. */
function tighter(exclusive: Bound | undefined, inclusive: Bound | undefined, sign: 1 | -1): Bound | undefined {
  if (exclusive === undefined || inclusive === undefined) return exclusive ?? inclusive
  const order = Buffer.compare(asBytes(exclusive.key), asBytes(inclusive.key)) * sign
  return order >= 0 ? exclusive : inclusive
}

function asBytes(key: Argument): Uint8Array {
  return typeof key === 'string' ? Buffer.from(key) : key
}
