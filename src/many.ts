/** Reading and writing many records by key, thousands in a call. */

import { describe } from './check.js'
import type { Encoding } from './codec.js'
import type { Connection } from './connection.js'
import { invalid } from './errors.js'
import { type Key, keptKey, keyBytes, valueBytes } from './key.js'
import { type Argument, DOUBTFUL, native, TOO_SMALL, type Writes } from './native/binding.js'
import { type Parts, releaseParts, takeParts } from './parts.js'
import { roomFor, roomForPage, type Slab } from './slab.js'

/** The most keys that are asked for at once: about as many as have values in a slab. */
const MOST_KEYS = 512
/** The fewest, where values are so large that most are asked for again. */
const FEWEST_KEYS = 16

const nameKey = (position: number) => `keys[${position}]`
const nameEntryKey = (position: number) => `entries[${position}][0]`
const nameEntryValue = (position: number) => `entries[${position}][1]`

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
    if (this.#given === this.#keys) this.#given = Array.from(this.#keys, (key, at) => keptKey(nameKey(at), key))
  }

  /** How far it is. */
  progress(): number {
    return this.values.length
  }

  /** Gathers what is left. Where it throws it may be called again, and goes on. */
  make(connection: Connection): (V | undefined)[] {
    const { values } = this
    const given = this.#given
    const parts = takeParts()
    let most = MOST_KEYS
    while (values.length < given.length) {
      const start = values.length
      const end = Math.min(given.length, start + most)
      for (let at = start; at < end && !parts.isFull; at++) parts.addKey(given[at], nameKey, at)
      let room = roomForPage()
      let code = this.#call(connection, parts, room)
      while (code <= TOO_SMALL) {
        room = roomFor(TOO_SMALL - code)
        code = this.#call(connection, parts, room)
      }
      if (code === DOUBTFUL) parts.doubt((index, key) => keyBytes(nameKey(start + index), key))
      if (code < 0) throw connection.failure(code)
      take(code, parts.words, room, this.#encoding, values)
      parts.clear()
      most = Math.min(Math.max(2 * code, FEWEST_KEYS), MOST_KEYS)
    }
    releaseParts(parts)
    return values
  }

  #call(connection: Connection, parts: Parts, room: Slab): number {
    return native.getMany(connection.handle, this.#tree, parts, room.memory, room.offset)
  }
}

/** Reads `count` values that the addon wrote at the slab's offset, each at a multiple of 8. */
function take<V>(
  count: number,
  lengths: Int32Array,
  room: Slab,
  encoding: Encoding<V, never>,
  values: (V | undefined)[],
): void {
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

/** Puts entries in order. */
export function putMany<In>(
  connection: Connection,
  tree: number,
  encoding: Encoding<unknown, In>,
  entries: Iterable<readonly [Key, In]>,
  writes: Writes,
): void {
  const parts = takeParts()
  let position = 0
  for (const entry of entries) {
    if (!Array.isArray(entry) || entry.length !== 2) {
      throw invalid(`entries[${position}] must be a [key, value] pair, not ${describe(entry)}`)
    }
    const key: unknown = entry[0]
    const value = encoding.write(entry[1])
    parts.addKey(key, nameEntryKey, position)
    parts.addValue(value, nameEntryValue, position)
    position += 1
    if (parts.isFull) putParts(connection, tree, parts, position, writes)
  }
  putParts(connection, tree, parts, position, writes)
  releaseParts(parts)
}

/** Hands over what was gathered of the entries in front of `end`. */
function putParts(connection: Connection, tree: number, parts: Parts, end: number, writes: Writes): void {
  if (parts.count === 0) return
  const code = writes.putMany(connection.handle, tree, parts)
  if (code === DOUBTFUL) {
    const start = end - parts.count / 2
    parts.doubt((index, text) => {
      const position = start + (index >> 1)
      if (index % 2 === 0) keyBytes(nameEntryKey(position), text)
      else valueBytes(nameEntryValue(position), text)
    })
  }
  if (code < 0) throw connection.failure(code)
  parts.clear()
}
