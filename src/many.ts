/** Reading many records by key, thousands in a call. */

import type { Encoding } from './codec.js'
import type { Connection } from './connection.js'
import { type Key, keyBytes } from './key.js'
import { type Argument, DOUBTFUL, native, TOO_SMALL } from './native/binding.js'
import { type Figures, releaseFigures, takeFigures } from './page.js'
import { roomFor, roomForPage, type Slab } from './slab.js'

/** The values of the keys, in their order. */
export function getMany<V>(
  connection: Connection,
  tree: number,
  encoding: Encoding<V, never>,
  keys: readonly Key[],
): (V | undefined)[] {
  const values: (V | undefined)[] = []
  const figures = takeFigures()
  const most = figures.lengths.length
  let room = roomForPage()
  let given: readonly Argument[] = keys
  while (values.length < given.length) {
    const start = values.length
    const count = Math.min(given.length - start, most)
    const { handle } = connection
    const code = native.getMany(handle, tree, given, start, count, figures.memory, room.memory, room.offset)
    if (code >= 0) take(code, figures, room, encoding, values)
    else if (code <= TOO_SMALL) room = roomFor(TOO_SMALL - code)
    else if (code === DOUBTFUL && given === keys) given = Array.from(keys, (key, at) => keyBytes(`keys[${at}]`, key))
    else throw connection.failure(code)
  }
  releaseFigures(figures)
  return values
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
