/**
 * The hot functions that take their numbers beside the arguments.
 *
 * What costs little to do should cost little to call: to take a number from an argument costs the addon two calls of
 * Node's, to take it from memory that both sides see costs a load. That memory is written right before the call, and never
 * leaves this module: the addon keeps its address.
 */

import type { Argument, Binding, Writes } from './binding.js'

interface NumberedWrites {
  put(key: Argument, value: Argument): number
  delete(key: Argument): number
}

interface NumberedReads {
  get(key: Argument, slab: ArrayBuffer): number
  record(key: Argument, slab: ArrayBuffer): number
  longestPrefix(key: Argument, slab: ArrayBuffer): number
  has(key: Argument): number
  count(prefix: Argument): number
  isEmpty(prefix: Argument): number
}

/** What the addon exports. */
export interface Addon
  extends Omit<Binding, keyof NumberedReads | keyof NumberedWrites | 'unsettled'>,
    NumberedReads,
    NumberedWrites {
  readonly numbers: ArrayBuffer
  readonly unsettled: Omit<Writes, keyof NumberedWrites> & NumberedWrites
}

/** The addon with functions that take their numbers as arguments. */
export function withNumbers({ numbers: memory, ...addon }: Addon): Binding {
  const numbers = new Float64Array(memory)

  /** Lays down what the next call takes. */
  function lay(database: number, tree: number, third: number, fourth: number): void {
    numbers[0] = database
    numbers[1] = tree
    numbers[2] = third
    numbers[3] = fourth
  }

  function numberedWrites(raw: NumberedWrites): Pick<Writes, keyof NumberedWrites> {
    return {
      put(database, tree, key, value, condition, version) {
        lay(database, tree, condition, version)
        return raw.put(key, value)
      },
      delete(database, tree, key, condition, version) {
        lay(database, tree, condition, version)
        return raw.delete(key)
      },
    }
  }

  return {
    ...addon,
    ...numberedWrites(addon),
    unsettled: { ...addon.unsettled, ...numberedWrites(addon.unsettled) },
    get(database, tree, key, slab, offset) {
      lay(database, tree, offset, 0)
      return addon.get(key, slab)
    },
    record(database, tree, key, slab, offset) {
      lay(database, tree, offset, 0)
      return addon.record(key, slab)
    },
    longestPrefix(database, tree, keysAsBytes, key, slab, offset) {
      lay(database, tree, offset, keysAsBytes)
      return addon.longestPrefix(key, slab)
    },
    has(database, tree, key) {
      lay(database, tree, 0, 0)
      return addon.has(key)
    },
    count(database, tree, prefix) {
      lay(database, tree, 0, 0)
      return addon.count(prefix)
    },
    isEmpty(database, tree, prefix) {
      lay(database, tree, 0, 0)
      return addon.isEmpty(prefix)
    },
  }
}
