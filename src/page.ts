/**
 * A page of a scan or a listing as the addon hands it over: one string of all keys, and a block of figures that says
 * where to cut it. The layout of the figures is that of crates/node/src/page.rs.
 */

import type { Encoding } from './codec.js'
import type { Connection } from './connection.js'
import { roomFor, roomForPage, type Slab } from './slab.js'

/** The most entries of one page. */
export const PAGE_ENTRIES = 1024

/** Where the addon writes the figures of a page. */
class Figures {
  readonly memory = new ArrayBuffer(16 + 16 * PAGE_ENTRIES)
  /** Entries; what is behind them; bytes of the slab used; bytes needed where the first entry did not fit. */
  readonly header = new Uint32Array(this.memory, 0, 4)
  readonly versions = new Float64Array(this.memory, 16, PAGE_ENTRIES)
  /** Negative (the highest bit set) for a rolled-up prefix. */
  readonly keyLengths = new Int32Array(this.memory, 16 + 8 * PAGE_ENTRIES, PAGE_ENTRIES)
  readonly valueLengths = new Uint32Array(this.memory, 16 + 12 * PAGE_ENTRIES, PAGE_ENTRIES)
}

/** Figures of pages that were released. Those of pages that are forgotten are left to the garbage collector. */
const spareFigures: Figures[] = []
const MOST_SPARE = 8

function takeFigures(): Figures {
  return spareFigures.pop() ?? new Figures()
}

/** Gives figures back that nobody reads any more. */
function releaseFigures(figures: Figures): void {
  if (spareFigures.length < MOST_SPARE) spareFigures.push(figures)
}

const LENGTH_MASK = 0x7fff_ffff

/** What the header says of what is behind a page. */
const NOTHING_BEHIND = 0
const UNKNOWN_BEHIND = 2

/** What a page holds of each entry besides its key. */
export interface PageParts {
  values: boolean
  /** Keys are bytes, and lie in the slab in front of each value. */
  keysAsBytes: boolean
}

/** Asks the addon for a page: its figures into the first buffer, bytes into the second from `offset`. */
export type PageCall = (figures: ArrayBuffer, slab: ArrayBuffer, offset: number) => string | number

/**
 * Entries in key order, one at a time: `next` moves to one, the rest tells of it. A page takes part in nothing else's
 * memory, so that other pages may be read in between.
 */
export class Page<K> {
  readonly count: number
  /** Whether there is more behind the last entry, be it that nobody knows. */
  readonly more: boolean
  /** Whether `more` is known: otherwise only the disk could tell. */
  readonly moreIsKnown: boolean
  /** The entry's key or rolled-up prefix; still that of the last one when there are no more. */
  key: K | undefined
  isPrefix = false
  readonly #figures: Figures
  readonly #text: string
  readonly #slab: Slab
  readonly #keysAsBytes: boolean
  readonly #values: boolean
  #index = -1
  #released = false
  /** Where the next key starts in the text. */
  #textOffset = 0
  /** Where the entry's value lies in the slab. */
  #valueStart = 0
  #valueEnd: number

  constructor(figures: Figures, text: string, slab: Slab, offset: number, parts: PageParts) {
    this.count = figures.header[0] as number
    this.more = figures.header[1] !== NOTHING_BEHIND
    this.moreIsKnown = figures.header[1] !== UNKNOWN_BEHIND
    this.#figures = figures
    this.#text = text
    this.#slab = slab
    this.#keysAsBytes = parts.keysAsBytes
    this.#values = parts.values
    this.#valueEnd = offset
  }

  /** Moves to the next entry; false where there is none. */
  next(): boolean {
    const index = ++this.#index
    if (index >= this.count) {
      this.release()
      return false
    }
    const figure = this.#figures.keyLengths[index] as number
    const length = figure & LENGTH_MASK
    this.isPrefix = figure < 0
    if (this.#keysAsBytes) {
      const start = this.#valueEnd
      this.#valueStart = start + length
      this.key = this.#slab.view(start, this.#valueStart) as K
    } else {
      const start = this.#textOffset
      this.#textOffset = start + length
      this.#valueStart = this.#valueEnd
      this.key = this.#text.substring(start, this.#textOffset) as K
    }
    this.#valueEnd = this.#values ? this.#valueStart + (this.#figures.valueLengths[index] as number) : this.#valueStart
    return true
  }

  /** Moves over all entries that are left, of a page of text without values: keys into one array, prefixes into the other. */
  takeAll(keys: K[], prefixes: K[]): void {
    const { count } = this
    const { keyLengths } = this.#figures
    const text = this.#text
    let start = this.#textOffset
    let figure = 0
    let key: string | undefined
    for (let index = this.#index + 1; index < count; index++) {
      figure = keyLengths[index] as number
      const end = start + (figure & LENGTH_MASK)
      key = text.substring(start, end)
      if (figure < 0) prefixes.push(key as K)
      else keys.push(key as K)
      start = end
    }
    this.key = key as K | undefined
    this.isPrefix = figure < 0
    this.release()
  }

  /** The entry's value, decoded. */
  value<V>(encoding: Encoding<V, never>): V {
    return encoding.read(this.#slab, this.#valueStart, this.#valueEnd)
  }

  /** The entry's version. */
  get version(): number {
    return this.#figures.versions[this.#index] as number
  }

  /** Gives the figures back: there is no next entry from now on. `next` does so by itself at the end. */
  release(): void {
    if (this.#released) return
    this.#released = true
    this.#index = this.count
    releaseFigures(this.#figures)
  }
}

/** Asks for a page until its first entry fits; throws where the call fails. */
export function requestPage<K>(connection: Connection, parts: PageParts, call: PageCall): Page<K> {
  const figures = takeFigures()
  const { header } = figures
  let slab = roomForPage()
  for (;;) {
    const { offset } = slab
    const text = call(figures.memory, slab.memory, offset)
    if (typeof text === 'number') {
      releaseFigures(figures)
      throw connection.failure(text)
    }
    const needed = header[3] as number
    if (header[0] !== 0 || needed === 0) {
      slab.advance(header[2] as number)
      return new Page(figures, text, slab, offset, parts)
    }
    slab = roomFor(needed)
  }
}
