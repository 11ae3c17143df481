// Numbers that look random and are the same in every run and in every process: functions of an index, with no state.

/** A whole number below 2 ** 32 for an index: the finalizer of MurmurHash3, which maps no two of them to one. */
export function mixed(index) {
  let hash = index | 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** Another one for each `salt`; two indexes may share it. */
export const salted = (index, salt) => mixed(mixed(index) ^ Math.imul(salt + 1, 0x9e3779b9))

/**
 * The place that comes at `position` when the numbers below `count` are taken in a scattered order: each once for
 * `count` positions. Two strides give two orders; each must be a prime that does not divide `count`.
 */
export const scattered = (position, count, stride) => (position * stride + (stride >> 1)) % count

/** Primes for `scattered`, large enough to leap over caches and small enough for products to stay exact. */
export const STRIDES = { fill: 7_368_787, sample: 15_485_863 }

export const padded = (number, digits) => String(number).padStart(digits, '0')
export const hex = (number, digits) => number.toString(16).padStart(digits, '0')
