// The records that engines are filled with, and the keys that they are asked for: the same in every run and process.
//
// Keys are functions of an index, so that ten million of them need not be held. What is asked for is made in the order in
// which it is asked for: a program that asks for a key has it at hand, and so has every engine here.

import { STRIDES, salted, scattered } from './random.mjs'
import * as fileSystem from './workloads/file-system.mjs'
import * as objectStore from './workloads/object-store.mjs'
import * as randomKeys from './workloads/random-keys.mjs'

export const WORKLOADS = { 'object-store': objectStore, 'file-system': fileSystem, 'random-keys': randomKeys }

/** Fewer keys would leave pages short. */
export const KEYS_MIN = 320

const SAMPLES_MAX = 1_000_000
const PAGE_STARTS_MAX = 100_000
const VALUES = 16

/** An equal string that lies in one piece, behind the one made before it. */
const flat = (text) => Buffer.from(text).toString('latin1')

/** Hands out the items one after the other, from the front again after the last. */
export function cycle(items) {
  let next = 0
  return () => {
    const item = items[next]
    next = next + 1 === items.length ? 0 : next + 1
    return item
  }
}

/**
 * The workload of a name with `size` keys, rounded to a multiple of sixteen.
 *
 * @param {keyof typeof WORKLOADS} name
 * @param {number} size at least KEYS_MIN
 */
export function createWorkload(name, size) {
  const { createKeys, valueBytes, title } = WORKLOADS[name]
  const keyCount = size - (size % 16)
  const { keyOf, prefixes, children } = createKeys(keyCount)
  const values = Array.from({ length: VALUES }, (_, value) =>
    Buffer.from(Array.from({ length: valueBytes }, (_, at) => salted(value * valueBytes + at, 9) & 0xff)),
  )
  const recordOf = (index) => [flat(keyOf(index)), values[index % VALUES]]
  const sampleCount = Math.min(keyCount, SAMPLES_MAX)

  return {
    title,
    keyCount,
    valueBytes,
    prefixes,
    children,
    values,
    /** All records in scattered order, `length` at a time. */
    *batches(length) {
      for (let start = 0; start < keyCount; start += length) {
        const count = Math.min(length, keyCount - start)
        yield Array.from({ length: count }, (_, at) => recordOf(scattered(start + at, keyCount, STRIDES.fill)))
      }
    },
    /** Records that are not among those, each once: the next `count` of them from `start` on. */
    newRecords: (start, count) => Array.from({ length: count }, (_, at) => recordOf(keyCount + start + at)),
    /** Keys that are there, scattered, each once. */
    keys: Array.from({ length: sampleCount }, (_, at) => flat(keyOf(scattered(at, keyCount, STRIDES.sample)))),
    /** Keys that differ from one that is there in the last character, and are not there. */
    absentKeys: Array.from({ length: Math.min(sampleCount, PAGE_STARTS_MAX) }, (_, at) =>
      flat(`${keyOf(scattered(at, keyCount, STRIDES.sample)).slice(0, -1)}~`),
    ),
    /** What pages start behind: beginnings of keys that are there, and no keys themselves. */
    pageStarts: Array.from({ length: Math.min(sampleCount, PAGE_STARTS_MAX) }, (_, at) =>
      flat(keyOf(scattered(at, keyCount, STRIDES.fill)).slice(0, -1)),
    ),
  }
}
