/**
 * Keys and values as they cross into the addon many at a time: all that is text one behind the other in one string, all
 * that is bytes in one buffer, and of each how much it takes. So a call's own cost is shared by all of them: to hand over
 * one costs an addition to a string, or a copy. The layout is that of crates/node/src/parts.rs.
 */

import { arePlainBytes, keyBytes, lengthOf, MAX_KEY_BYTES, MAX_VALUE_BYTES, valueBytes } from './key.js'

/** The most parts of one call. */
const MOST_PARTS = 8192
/** When so many UTF-16 units and bytes have come together, they are handed over. */
const FULL_UNITS = 4 * 1024 * 1024
/** A longer value is turned into bytes by itself. */
const MOST_VALUE_UNITS = 4096
const FIRST_BYTES = 64 * 1024
/** A buffer of at most so many bytes is used again. */
const KEPT_BYTES = 1024 * 1024
/** Marks a length in bytes. */
const BYTES_BIT = 1 << 31

/** Names the key or value at a position, for messages. */
export type Name = (position: number) => string

export class Parts {
  /** The text of all parts that are text. */
  text = ''
  /** The bytes of all parts that are bytes. */
  bytes: Uint8Array = new Uint8Array(FIRST_BYTES)
  count = 0
  /** A word of each part, to be read by the addon, which may write its answers there. */
  readonly memory = new ArrayBuffer(MOST_PARTS * 4)
  readonly words = new Int32Array(this.memory)
  #bytesLength = 0

  /** Adds a key; throws where it cannot be one. What may still be wrong with text the addon says. */
  addKey(key: unknown, name: Name, position: number): void {
    if (typeof key === 'string' && key.length <= MAX_KEY_BYTES) this.#addText(key)
    else if (arePlainBytes(key) && lengthOf(key) <= MAX_KEY_BYTES) this.#addBytes(key)
    else this.#addBytes(keyBytes(name(position), key))
  }

  /** Adds a value; throws where it cannot be one. */
  addValue(value: unknown, name: Name, position: number): void {
    if (arePlainBytes(value) && lengthOf(value) <= MAX_VALUE_BYTES) this.#addBytes(value)
    else if (typeof value === 'string' && value.length <= MOST_VALUE_UNITS) this.#addText(value)
    else this.#addBytes(valueBytes(name(position), value))
  }

  /** Whether there may be no room for one more key and one more value. */
  get isFull(): boolean {
    return this.count > MOST_PARTS - 2 || this.text.length + this.#bytesLength >= FULL_UNITS
  }

  /** Throws what is wrong with a part of text that the addon doubted. `check` is told each, and its index. */
  doubt(check: (index: number, text: string) => void): void {
    let start = 0
    for (let index = 0; index < this.count; index++) {
      const length = this.words[index] as number
      if (length < 0) continue
      check(index, this.text.substring(start, start + length))
      start += length
    }
  }

  /** Forgets all parts. */
  clear(): void {
    this.text = ''
    this.count = 0
    this.#bytesLength = 0
    if (this.bytes.length > KEPT_BYTES) this.bytes = new Uint8Array(FIRST_BYTES)
  }

  #addText(text: string): void {
    this.words[this.count++] = text.length
    this.text += text
  }

  #addBytes(bytes: Uint8Array): void {
    const start = this.#bytesLength
    const length = lengthOf(bytes)
    if (start + length > this.bytes.length) this.#grow(start + length)
    this.bytes.set(bytes, start)
    this.#bytesLength = start + length
    this.words[this.count++] = length | BYTES_BIT
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.max(needed, 2 * this.bytes.length))
    grown.set(this.bytes)
    this.bytes = grown
  }
}

let spare: Parts | undefined

/** Parts for the caller alone, empty. */
export function takeParts(): Parts {
  const parts = spare ?? new Parts()
  spare = undefined
  return parts
}

/** Gives parts back that nobody looks at any more. */
export function releaseParts(parts: Parts): void {
  parts.clear()
  spare = parts
}
