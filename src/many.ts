/** Reading many records by key, thousands in a call. */

import type { Encoding } from './codec.js'
import type { Connection } from './connection.js'
import { type Key, keptKey, keyBytes } from './key.js'
import { type Argument, DOUBTFUL, native, TOO_SMALL } from './native/binding.js'
import { type Figures, releaseFigures, takeFigures } from './page.js'
import { roomFor, roomForPage, type Slab } from './slab.js'

/** The values of keys, in their order, as they are gathered. */
export class Gathering<V> {
  readonly values: (V | undefined)[] = []
  readonly #tree: number
  readonly #encoding: Encoding<V, never>
  readonly #keys: readonly Key[]
  #given: readonly Argument[]

  constructor(tree: number, encoding: Encoding<V, never>, keys: readonly Key[]) {
    this.#tree = tree
    this.#encoding = encoding
    this.#keys = keys
    this.#given = keys
  }

  /** Copies the keys, for who goes on later. */
  keep(): void {
    if (this.#given === this.#keys) this.#given = Array.from(this.#keys, (key, at) => keptKey(`keys[${at}]`, key))
  }

  /** How far it is. */
  progress(): number {
    return this.values.length
  }

  /** Gathers what is left. Where it throws it may be called again, and goes on. */
  make(connection: Connection): (V | undefined)[] {
    const { values } = this
    const figures = takeFigures()
    const most = figures.lengths.length
    let room = roomForPage()
    while (values.length < this.#given.length) {
      const start = values.length
      const count = Math.min(this.#given.length - start, most)
      const { handle } = connection
      const given = this.#given
      const code = native.getMany(handle, this.#tree, given, start, count, figures.memory, room.memory, room.offset)
      if (code >= 0) take(code, figures, room, this.#encoding, values)
      else if (code <= TOO_SMALL) room = roomFor(TOO_SMALL - code)
      else if (code === DOUBTFUL && given === this.#keys) {
        this.#given = Array.from(given, (key, at) => keyBytes(`keys[${at}]`, key))
      } else {
        releaseFigures(figures)
        throw connection.failure(code)
      }
    }
    releaseFigures(figures)
    return values
  }
}

/** Reads `count` values that the addon wrote at the slab's offset, each at a multiple of 8. */
function take<V>(
  count: number,
  figures: Figures,
  room: Slab,
  encoding: Encoding<V, never>,
  values: (V | undefined)[],
): void {
  const { lengths } = figures
  let start = room.offset
  if (encoding.keepsMemory) {
    // Before anything is decoded: a codec may use the database itself.
    let used = 0
    for (let index = 0; index < count; index++) used += (Math.max(lengths[index] as number, 0) + 7) & ~7
    room.advance(used)
  }
  for (let index = 0; index < count; index++) {
    const length = lengths[index] as number
    if (length < 0) {
      values.push(undefined)
    } else {
      values.push(encoding.read(room, start, start + length))
      start += (length + 7) & ~7
    }
  }
}
