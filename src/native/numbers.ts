/**
 * The hot functions that take their numbers beside the arguments, and some of which answer beside their result.
 *
 * What costs little to do should cost little to call: to take a number from an argument costs the addon two calls of
 * Node's, to take it from memory that both sides see costs a load. That memory is written right before the call, and never
 * leaves this module: the addon keeps its address.
 */

import type { Argument, Binding, Writes } from './binding.js'

/** Which number is which: words of 32 bits. Mirrors `crates/node/src/raw/numbers.rs`. */
const DATABASE = 0
const TREE = 1
const OFFSET = 2
const SLAB_BYTES = 3
const KEYS_AS_BYTES = 4
const CONDITION = 5
const COUNT = 6
const ANSWER = 7
/** A double. */
const VERSION_BYTE = 32

/** What stands for the answer until there is one. */
const FAILED = -2

interface NumberedWrites {
  put(key: Argument, value: Argument): number
  delete(key: Argument): number
  putMany(text: string, bytes: Uint8Array, words: ArrayBuffer): number
}

interface NumberedReads {
  getInto(key: Argument, slab: ArrayBuffer): number
  record(key: Argument, slab: ArrayBuffer): number
  longestPrefix(key: Argument, slab: ArrayBuffer): number
  count(prefix: Argument): number
  isEmpty(prefix: Argument): number
  getMany(text: string, bytes: Uint8Array, words: ArrayBuffer, slab: ArrayBuffer): number
}

/** These answer with a number, and with nothing as their result. */
interface AnsweringReads {
  get(key: Argument): void
  has(key: Argument): void
}

/** What the addon exports. */
export interface Addon
  extends Omit<Binding, keyof NumberedReads | keyof AnsweringReads | keyof NumberedWrites | 'unsettled'>,
    NumberedReads,
    AnsweringReads,
    NumberedWrites {
  readonly numbers: ArrayBuffer
  readonly unsettled: Omit<Writes, keyof NumberedWrites> & NumberedWrites
  /** From now on `get` writes into this one. */
  useSlab(slab: ArrayBuffer): number
  /** Which one that is. Kept here since there is one addon in a thread, but perhaps several copies of this package's code. */
  inUse?: { slab: Uint8Array | undefined }
}

/** The addon with functions that take their numbers as arguments. */
export function withNumbers(exported: Addon): Binding {
  exported.inUse ??= { slab: undefined }
  const { numbers: memory, useSlab, inUse, ...addon } = exported
  const numbers = new Int32Array(memory)
  const version = new Float64Array(memory, VERSION_BYTE, 1)

  function use(slab: Uint8Array): void {
    // Where it fails there is none, and nothing fits in.
    inUse.slab = useSlab(slab.buffer as ArrayBuffer) >= 0 ? slab : undefined
  }

  function on(database: number, tree: number): void {
    numbers[DATABASE] = database
    numbers[TREE] = tree
  }

  function numberedWrites(raw: NumberedWrites): Pick<Writes, keyof NumberedWrites> {
    return {
      put(database, tree, key, value, condition, ofVersion) {
        on(database, tree)
        numbers[CONDITION] = condition
        version[0] = ofVersion
        return raw.put(key, value)
      },
      delete(database, tree, key, condition, ofVersion) {
        on(database, tree)
        numbers[CONDITION] = condition
        version[0] = ofVersion
        return raw.delete(key)
      },
      putMany(database, tree, { text, bytes, memory: words, count }) {
        on(database, tree)
        numbers[COUNT] = count
        return raw.putMany(text, bytes, words)
      },
    }
  }

  return {
    ...addon,
    ...numberedWrites(addon),
    unsettled: { ...addon.unsettled, ...numberedWrites(addon.unsettled) },
    get(database, tree, key, slab, offset) {
      if (slab !== inUse.slab) use(slab)
      on(database, tree)
      numbers[OFFSET] = offset
      // Nothing once its memory was transferred away: then nothing is written there.
      numbers[SLAB_BYTES] = slab.length
      numbers[ANSWER] = FAILED
      addon.get(key)
      return numbers[ANSWER] as number
    },
    getInto(database, tree, key, slab, offset) {
      on(database, tree)
      numbers[OFFSET] = offset
      return addon.getInto(key, slab)
    },
    record(database, tree, key, slab, offset) {
      on(database, tree)
      numbers[OFFSET] = offset
      return addon.record(key, slab)
    },
    longestPrefix(database, tree, keysAsBytes, key, slab, offset) {
      on(database, tree)
      numbers[OFFSET] = offset
      numbers[KEYS_AS_BYTES] = keysAsBytes
      return addon.longestPrefix(key, slab)
    },
    has(database, tree, key) {
      on(database, tree)
      numbers[ANSWER] = FAILED
      addon.has(key)
      return numbers[ANSWER] as number
    },
    count(database, tree, prefix) {
      on(database, tree)
      return addon.count(prefix)
    },
    isEmpty(database, tree, prefix) {
      on(database, tree)
      return addon.isEmpty(prefix)
    },
    getMany(database, tree, { text, bytes, memory: words, count }, slab, offset) {
      on(database, tree)
      numbers[OFFSET] = offset
      numbers[COUNT] = count
      return addon.getMany(text, bytes, words, slab)
    },
  }
}
