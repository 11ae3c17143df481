/** What stands between a tree's values and their bytes. */

import { isUint8Array } from 'node:util/types'
import { describe } from './check.js'
import { invalid } from './errors.js'
import type { Argument } from './native/binding.js'
import type { Slab } from './slab.js'

/**
 * Turns values of one type into bytes and back. What `encode` or `decode` throws reaches the caller unchanged, and
 * nothing was written then. Both run synchronously, inside `put`, `get` and so on; they may use the database.
 */
export interface Codec<V> {
  /** For messages. */
  readonly name: string
  /** The bytes to store for a value. A string is stored as UTF-8. At most 16 MiB. */
  encode(value: V): Uint8Array | string
  /**
   * The value that bytes stand for. They are a view of memory that other values lie in too (as Buffers from Node's pool
   * are): keep a copy (`Buffer.from(bytes)`) if a small piece is kept for long.
   */
  decode(bytes: Buffer): V
}

/** A codec as trees use it: it reads from where the addon wrote. */
export interface Encoding<V, In> {
  /** What to hand to the addon for a value. */
  write(value: In): Argument
  /** The value in the bytes of `slab` from `start` to `end`. */
  read(slab: Slab, start: number, end: number): V
  /** Whether what `read` returns may hold on to those bytes, which must not be written again then. */
  readonly keepsMemory: boolean
}

/** No encoding: bytes in, a Buffer out. The addon itself refuses what is neither bytes nor a string. */
export const bytesEncoding: Encoding<Buffer, Argument> = {
  write: (value) => value,
  read: (slab, start, end) => slab.view(start, end),
  keepsMemory: true,
}

export const utf8Encoding: Encoding<string, string> = {
  write(value: unknown) {
    if (typeof value !== 'string') throw invalid(`value must be a string in a 'utf8' tree, not ${describe(value)}`)
    return value
  },
  read: (slab, start, end) => slab.text(start, end),
  keepsMemory: false,
}

export const jsonEncoding: Encoding<unknown, unknown> = {
  write(value) {
    const text: string | undefined = JSON.stringify(value)
    if (text === undefined) throw invalid(`value ${describe(value)} has no JSON form`)
    return text
  },
  read: (slab, start, end) => JSON.parse(slab.text(start, end)) as unknown,
  keepsMemory: false,
}

/** The encoding that a codec gives. */
export function codecEncoding<V>(codec: Codec<V>): Encoding<V, V> {
  return {
    write(value) {
      const bytes: unknown = codec.encode(value)
      if (typeof bytes !== 'string' && !isUint8Array(bytes)) {
        throw invalid(`codec '${codec.name}' must encode to a Uint8Array or a string, not ${describe(bytes)}`)
      }
      return bytes
    },
    read: (slab, start, end) => codec.decode(slab.view(start, end)),
    keepsMemory: true,
  }
}

/** True for an object that is a codec. */
export function isCodec(value: unknown): value is Codec<unknown> {
  if (typeof value !== 'object' || value === null) return false
  const { name, encode, decode } = value as Partial<Codec<unknown>>
  return typeof name === 'string' && typeof encode === 'function' && typeof decode === 'function'
}
