/**
 * Keys and values as they are handed to the addon: as they are, because the addon reads strings and bytes itself. What
 * it doubts is looked at here, and either refused with a reason or turned into plain bytes.
 */

import { isSharedArrayBuffer, isUint8Array } from 'node:util/types'
import { describe } from './check.js'
import { CoppiceError, invalid } from './errors.js'
import type { Argument } from './native/binding.js'

/**
 * A key: any byte string of 0 to 8,192 bytes. NUL bytes, the empty key and keys that are prefixes of one another are
 * all legal, and order is bytewise everywhere. A string stands for its UTF-8 bytes, so that `'é'` and
 * `Buffer.from('é')` are one key; a string with a lone surrogate, which has no UTF-8 form, is refused with
 * ERR_COPPICE_INVALID_ARGUMENT, a longer key with ERR_COPPICE_KEY_TOO_LARGE. Bytes are copied before a call returns.
 */
export type Key = string | Uint8Array

/**
 * What a tree without an encoding stores: 0 to 16 MiB (16,777,216 bytes); more is ERR_COPPICE_VALUE_TOO_LARGE. A string
 * is stored as its UTF-8 bytes (one with a lone surrogate is ERR_COPPICE_INVALID_ARGUMENT); what comes back is a Buffer
 * in either case.
 */
export type Bytes = Uint8Array | string

/** The longest key. */
export const MAX_KEY_BYTES = 8192
/** A string of so many UTF-16 units has no more than MAX_KEY_BYTES bytes. */
const SURELY_FITS = Math.floor(MAX_KEY_BYTES / 3)
/** The longest value. */
export const MAX_VALUE_BYTES = 16 * 1024 * 1024

/** The bytes of a key that the addon doubted; throws where it is none. `what` names it in messages. */
export function keyBytes(what: string, key: unknown): Uint8Array {
  const bytes = plainBytes(what, key)
  if (bytes.length > MAX_KEY_BYTES) {
    throw new CoppiceError(
      'ERR_COPPICE_KEY_TOO_LARGE',
      `${what} ${describe(key)} has ${bytes.length} bytes; a key has at most ${MAX_KEY_BYTES}`,
    )
  }
  return bytes
}

/** Bytes as the addon does not doubt them: it cannot tell those that are none from those that are lost. */
function undoubted(bytes: Uint8Array): Argument {
  return lengthOf(bytes) === 0 ? '' : bytes
}

/** A key that the addon doubted, as it does not doubt it again. */
export function plainKey(what: string, key: unknown): Argument {
  return undoubted(keyBytes(what, key))
}

/**
 * A key that is to be handed over later, and perhaps more than once: checked now, and copied if it is bytes. Nothing
 * about it is doubted then.
 */
export function keptKey(what: string, key: unknown): Argument {
  if (typeof key === 'string' && key.length <= SURELY_FITS && !key.includes('\uFFFD') && key.isWellFormed()) return key
  const plain = plainKey(what, key)
  return typeof plain === 'string' ? plain : Uint8Array.prototype.slice.call(plain)
}

/** A value that the addon doubted, as it does not doubt it again. */
export function plainValue(what: string, value: unknown): Argument {
  return undoubted(valueBytes(what, value))
}

/** The bytes of a value that the addon doubted; throws where it is none. `what` names it in messages. */
export function valueBytes(what: string, value: unknown): Uint8Array {
  const bytes = plainBytes(what, value)
  if (bytes.length > MAX_VALUE_BYTES) {
    throw new CoppiceError(
      'ERR_COPPICE_VALUE_TOO_LARGE',
      `${what} has ${bytes.length} bytes; a value has at most ${MAX_VALUE_BYTES}`,
    )
  }
  return bytes
}

/** Whether these are bytes that can be copied and that no other thread can change. */
export function arePlainBytes(value: unknown): value is Uint8Array {
  if (!isUint8Array(value)) return false
  const { buffer } = value
  // The first is told at a tenth of the cost.
  if (!(buffer instanceof ArrayBuffer) && isSharedArrayBuffer(buffer)) return false
  return lengthOf(value) > 0 || hasMemory(value)
}

/** The length of bytes, which no property of the object's own can hide. */
export function lengthOf(bytes: Uint8Array): number {
  return lengthGetter.call(bytes)
}

const lengthGetter = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), 'length')?.get as (
  this: Uint8Array,
) => number

function plainBytes(what: string, value: unknown): Uint8Array {
  if (typeof value === 'string') {
    if (!value.isWellFormed())
      throw invalid(`${what} must be well-formed text, but ${describe(value)} holds a lone surrogate`)
    return Buffer.from(value)
  }
  if (!isUint8Array(value)) throw invalid(`${what} must be a string or a Uint8Array, not ${describe(value)}`)
  if (isSharedArrayBuffer(value.buffer)) {
    throw invalid(`${what} must not lie in a SharedArrayBuffer, where another thread may change it; pass a copy`)
  }
  if (!hasMemory(value)) throw invalid(`${what} lies in an ArrayBuffer that was transferred away or made smaller`)
  return value
}

/** Whether a view still has the memory that it was made of. One of none has, too. */
function hasMemory(view: Uint8Array): boolean {
  // All methods of a view that has not throw; nothing else tells it from an empty one.
  try {
    valuesOf.call(view)
    return true
  } catch {
    return false
  }
}

const valuesOf = Uint8Array.prototype.values
