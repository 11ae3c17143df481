/**
 * Pagination tokens: where a listing goes on. To callers they are opaque; inside, base64url of one byte of version, one
 * byte that says what the listing ended with, and that key or prefix.
 */

import { describe } from './check.js'
import { invalid } from './errors.js'
import { MAX_KEY_BYTES } from './key.js'

/** The last item of a page. */
export interface Position {
  kind: 'key' | 'prefix'
  bytes: Uint8Array
}

const VERSION = 1
const KIND_KEY = 0
const KIND_PREFIX = 1
const HEADER_BYTES = 2

/** Where tokens are put together: the last item of every page that has one behind it becomes one. */
const room = Buffer.alloc(HEADER_BYTES + MAX_KEY_BYTES, VERSION)

export function encodeToken(kind: Position['kind'], item: string | Uint8Array): string {
  room[1] = kind === 'key' ? KIND_KEY : KIND_PREFIX
  let length = item.length
  if (typeof item === 'string') length = room.write(item, HEADER_BYTES)
  else room.set(item, HEADER_BYTES)
  return room.toString('base64url', 0, HEADER_BYTES + length)
}

/** Throws ERR_COPPICE_INVALID_ARGUMENT for what `encodeToken` did not make of an item under `prefix`. */
export function decodeToken(token: unknown, prefix: string | Uint8Array): Position {
  const bytes = typeof token === 'string' ? Buffer.from(token, 'base64url') : undefined
  const wellFormed =
    bytes !== undefined &&
    bytes.toString('base64url') === token &&
    bytes.length >= HEADER_BYTES &&
    bytes.length <= HEADER_BYTES + MAX_KEY_BYTES &&
    bytes[0] === VERSION &&
    (bytes[1] === KIND_KEY || bytes[1] === KIND_PREFIX)
  if (!wellFormed) throw invalid(`token must be the 'next' of a listing, not ${describe(token)}`)
  const item = bytes.subarray(HEADER_BYTES)
  const start = Buffer.from(prefix)
  if (!item.subarray(0, start.length).equals(start)) {
    throw invalid(`token must be the 'next' of a listing under the prefix ${describe(prefix)}, not of one elsewhere`)
  }
  return { kind: bytes[1] === KIND_KEY ? 'key' : 'prefix', bytes: item }
}
