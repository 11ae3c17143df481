// The objects of sixteen tenants, each with up to 64 albums: tenant-07/album-23/2024-05-17/0000a3f94c21.jpg, 46 bytes.

import { hex, padded, salted } from '../random.mjs'

const ALBUMS_MAX = 64

export const title = 'object store'
export const valueBytes = 100

/** @param {number} keyCount a multiple of 16 */
export function createKeys(keyCount) {
  const albums = Math.min(ALBUMS_MAX, keyCount / 16)
  const prefixes = Array.from({ length: 16 }, (_, tenant) => `tenant-${padded(tenant, 2)}/`)
  return {
    keyOf(index) {
      const album = Math.floor(index / 16) % albums
      const day = `2024-${padded(1 + (salted(index, 1) % 12), 2)}-${padded(1 + (salted(index, 2) % 28), 2)}`
      // The index makes it unique, the random part in front of it scatters the order.
      const name = `${hex(salted(index, 3) & 0xffff, 4)}${hex(index, 8)}`
      return `${prefixes[index % 16]}album-${padded(album, 2)}/${day}/${name}.jpg`
    },
    /** Each has a sixteenth of the keys below it, in `children` folders. */
    prefixes,
    children: albums,
  }
}
