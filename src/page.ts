/**
 * A page of a scan or a listing as the addon hands it over: one string of all keys, and a block of figures that says
 * where to cut it. The layout of the figures is that of crates/node/src/page.rs.
 */

import type { Encoding } from './codec.js'
import type { Connection } from './connection.js'
import { roomFor, roomForPage } from './slab.js'

/** The most entries of one page. */
export const PAGE_ENTRIES = 1024

const PREFIX_BIT = 0x8000_0000

/** Where the addon writes the figures of a page; read out before any other code can run. */
const figures = new ArrayBuffer(16 + 16 * PAGE_ENTRIES)
const header = new Uint32Array(figures, 0, 4)
const versions = new Float64Array(figures, 16, PAGE_ENTRIES)
const keyLengths = new Uint32Array(figures, 16 + 8 * PAGE_ENTRIES, PAGE_ENTRIES)
const valueLengths = new Uint32Array(figures, 16 + 12 * PAGE_ENTRIES, PAGE_ENTRIES)

/** What of each entry a page is to keep besides its key. */
export interface PageParts {
  values: boolean
  versions: boolean
  /** Keys are bytes, and lie in the slab in front of each value. */
  keysAsBytes: boolean
}

/** Asks the addon for a page, its figures into the first buffer, bytes into the second from `offset`. */
export type PageCall = (figures: ArrayBuffer, slab: ArrayBuffer, offset: number) => string | number

/** Entries in key order. Values are decoded when they are asked for. */
export class Page<K> {
  readonly keys: K[] = []
  /** Whether there is more behind the last entry. */
  readonly more: boolean
  readonly #rolledUp: boolean[] = []
  readonly #versions: Float64Array | undefined
  readonly #memory: Buffer
  /** Where each value ends in memory; it starts behind what is in front of it. */
  readonly #starts: number[] = []
  readonly #ends: number[] = []

  constructor(text: string, memory: Buffer, offset: number, parts: PageParts) {
    const count = header[0] as number
    this.more = header[1] === 1
    this.#memory = memory
    let position = offset
    let cut = 0
    for (let index = 0; index < count; index++) {
      const figure = keyLengths[index] as number
      const length = figure & ~PREFIX_BIT
      this.#rolledUp.push(figure >= PREFIX_BIT)
      if (parts.keysAsBytes) {
        this.keys.push(memory.subarray(position, position + length) as K)
        position += length
      } else {
        this.keys.push(text.substring(cut, cut + length) as K)
        cut += length
      }
      if (parts.values) {
        this.#starts.push(position)
        position += valueLengths[index] as number
        this.#ends.push(position)
      }
    }
    this.#versions = parts.versions ? versions.slice(0, count) : undefined
  }

  /** Whether the entry is a rolled-up prefix. */
  isPrefix(index: number): boolean {
    return this.#rolledUp[index] === true
  }

  value<V>(index: number, encoding: Encoding<V, never>): V {
    return encoding.read(this.#memory, this.#starts[index] as number, this.#ends[index] as number)
  }

  version(index: number): number {
    return this.#versions?.[index] as number
  }
}

/** Asks for a page until its first entry fits; throws where the call fails. */
export function requestPage<K>(connection: Connection, parts: PageParts, call: PageCall): Page<K> {
  let room = roomForPage()
  for (;;) {
    const { buffer, offset } = room
    const text = call(figures, room.memory, offset)
    if (typeof text === 'number') throw connection.failure(text)
    const [count, , used, needed] = header as unknown as [number, number, number, number]
    if (count > 0 || needed === 0) {
      room.advance(used)
      return new Page(text, buffer, offset, parts)
    }
    room = roomFor(needed)
  }
}
