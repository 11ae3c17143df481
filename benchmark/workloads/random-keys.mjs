// Keys without any order to them, as of a store addressed by content: 40 hexadecimal digits. There is nothing to list.

import { hex, mixed, salted } from '../random.mjs'

export const title = 'random keys'
export const valueBytes = 100

export function createKeys() {
  return {
    keyOf: (index) => [1, 2, 3, 4].map((salt) => hex(salted(index, salt), 8)).join('') + hex(mixed(index), 8),
    /** Each has about a sixteenth of the keys below it. */
    prefixes: Array.from({ length: 16 }, (_, digit) => hex(digit, 1)),
    children: 0,
  }
}
