/**
 * The operations of a batch as they cross into the addon: encoded one behind the other in one buffer, so that a commit is
 * one call. Encoding copies keys and values, and checks them, when they are handed over. The layout is that of
 * crates/node/src/batch.rs.
 */

import { describe } from './check.js'
import { CoppiceError } from './errors.js'
import { arePlainBytes, keyBytes, lengthOf, MAX_KEY_BYTES, MAX_VALUE_BYTES, valueBytes } from './key.js'
import type { Argument } from './native/binding.js'

/** What an operation does. */
export const operationKind = {
  put: 0,
  delete: 1,
  rename: 2,
  assert: 3,
  assertEmpty: 4,
  movePrefix: 5,
  deletePrefix: 6,
} as const

type OperationKind = (typeof operationKind)[keyof typeof operationKind]

/** Besides its keys and its value. */
const HEADER_BYTES = 24
/** All operations of a batch together. */
const MAX_BATCH_BYTES = 64 * 1024 * 1024
const FIRST_BYTES = 4096
/** A buffer of at most so many bytes is used again for the next batch of the thread. */
const KEPT_BYTES = 1024 * 1024
/** A string of so many UTF-16 units or fewer is given room for the most bytes that it can have; a longer one is measured. */
const SHORT_UNITS = 4096
const MOST_BYTES_PER_UNIT = 3

let spare: Buffer | undefined

export class Operations {
  #bytes: Buffer
  #view: DataView
  #length = 0
  #count = 0

  constructor() {
    this.#bytes = spare ?? Buffer.allocUnsafeSlow(FIRST_BYTES)
    this.#view = viewOf(this.#bytes)
    spare = undefined
  }

  /** How many there are; the index of the next. */
  get count(): number {
    return this.#count
  }

  /** Bytes of all of them. */
  get length(): number {
    return this.#length
  }

  /** Holds them in its first `length` bytes. */
  get bytes(): Uint8Array {
    return this.#bytes
  }

  /** Adds an operation on one key, or a prefix; where it cannot be one, throws and adds nothing. */
  add(kind: OperationKind, detail: number, tree: number, version: number, key: Argument): void {
    const keyEnd = this.#writeKey('key', key, this.#length + HEADER_BYTES)
    this.#finish(kind, detail, tree, version, keyEnd, keyEnd)
  }

  /** Adds a put. Returns where in `bytes` the value stands. */
  addPut(detail: number, tree: number, version: number, key: Argument, value: Argument): [start: number, end: number] {
    const keyEnd = this.#writeKey('key', key, this.#length + HEADER_BYTES)
    const valueEnd = this.#writeValue(value, keyEnd)
    this.#finish(operationKind.put, detail, tree, version, keyEnd, valueEnd)
    return [keyEnd, valueEnd]
  }

  /** Adds a rename. */
  addRename(overwrite: boolean, tree: number, from: Argument, to: Argument): void {
    const fromEnd = this.#writeKey('from', from, this.#length + HEADER_BYTES)
    const toEnd = this.#writeKey('to', to, fromEnd)
    this.#finish(operationKind.rename, overwrite ? 1 : 0, tree, 0, fromEnd, toEnd)
  }

  /** Adds a move of a prefix. */
  addMovePrefix(tree: number, from: Argument, to: Argument): void {
    const fromEnd = this.#writeKey('from', from, this.#length + HEADER_BYTES)
    const toEnd = this.#writeKey('to', to, fromEnd)
    this.#finish(operationKind.movePrefix, 0, tree, 0, fromEnd, toEnd)
  }

  /** The tree and the first key of an operation. */
  at(index: number): { tree: number; key: Buffer } {
    let start = 0
    for (let before = 0; before < index; before++) {
      start += HEADER_BYTES + this.#view.getUint32(start + 8, true) + this.#view.getUint32(start + 12, true)
    }
    const keyStart = start + HEADER_BYTES
    return {
      tree: this.#view.getUint32(start + 4, true),
      key: this.#bytes.subarray(keyStart, keyStart + this.#view.getUint32(start + 8, true)),
    }
  }

  /** Gives the buffer to the next batch. Nothing may be asked of this one any more. */
  release(): void {
    if (this.#bytes.length <= KEPT_BYTES) spare = this.#bytes
  }

  /** Writes the header of an operation whose parts stand behind it, and counts it in. */
  #finish(
    kind: OperationKind,
    detail: number,
    tree: number,
    version: number,
    firstEnd: number,
    secondEnd: number,
  ): void {
    const start = this.#length
    if (secondEnd > MAX_BATCH_BYTES) throw this.#tooLarge(secondEnd)
    const view = this.#view
    view.setUint32(start, kind | (detail << 8), true)
    view.setUint32(start + 4, tree, true)
    view.setUint32(start + 8, firstEnd - start - HEADER_BYTES, true)
    view.setUint32(start + 12, secondEnd - firstEnd, true)
    view.setFloat64(start + 16, version, true)
    this.#length = secondEnd
    this.#count += 1
  }

  /** Writes a key; where it ends. */
  #writeKey(what: string, key: Argument, start: number): number {
    if (typeof key === 'string' && key.length <= MAX_KEY_BYTES && key.isWellFormed()) {
      const end = this.#writeText(key, start)
      if (end - start <= MAX_KEY_BYTES) return end
    } else if (arePlainBytes(key) && lengthOf(key) <= MAX_KEY_BYTES) {
      return this.#writeBytes(key, start)
    }
    return this.#writeBytes(keyBytes(`operation ${this.#count}: ${what}`, key), start)
  }

  /** Writes a value behind the key; where it ends. */
  #writeValue(value: Argument, start: number): number {
    if (typeof value === 'string' && value.length <= SHORT_UNITS && value.isWellFormed()) {
      return this.#writeText(value, start)
    }
    if (arePlainBytes(value) && lengthOf(value) <= MAX_VALUE_BYTES) return this.#writeBytes(value, start)
    const key = describe(this.#bytes.toString('utf8', this.#length + HEADER_BYTES, start))
    return this.#writeBytes(valueBytes(`operation ${this.#count}: the value of ${key}`, value), start)
  }

  /** Writes text that is short, or no longer than a key. */
  #writeText(text: string, start: number): number {
    this.#makeRoom(start + text.length * MOST_BYTES_PER_UNIT)
    return start + this.#bytes.write(text, start)
  }

  #writeBytes(bytes: Uint8Array, start: number): number {
    const end = start + lengthOf(bytes)
    if (end > MAX_BATCH_BYTES) throw this.#tooLarge(end)
    this.#makeRoom(end)
    this.#bytes.set(bytes, start)
    return end
  }

  #makeRoom(end: number): void {
    if (end <= this.#bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(end, Math.min(this.#bytes.length * 2, MAX_BATCH_BYTES)))
    // What is being added stands behind `length` already.
    grown.set(this.#bytes)
    this.#bytes = grown
    this.#view = viewOf(grown)
  }

  #tooLarge(bytes: number): CoppiceError {
    return new CoppiceError(
      'ERR_COPPICE_BATCH_TOO_LARGE',
      `operation ${this.#count} makes the batch ${bytes} bytes long; a batch has at most ${MAX_BATCH_BYTES}`,
    )
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
