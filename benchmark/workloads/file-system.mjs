// The paths of a file system: sixteen folders at the top, each with up to 64 below, and under these one to five levels
// more: usr/python-12/share/include/core_4f2a9c1b00f3.so, 30 to 70 bytes.

import { hex, salted } from '../random.mjs'

const FOLDERS_MAX = 64
const TOPS = 'bin boot data etc home lib lib64 media mnt opt root run srv usr var www'.split(' ')
const NAMES = 'python linux gcc perl locale doc icons kernel node java fonts themes zoneinfo systemd mysql git'.split(
  ' ',
)
const LEVELS = 'share include src test build lib modules internal'.split(' ')
const FILES = 'core index main util types config readme parser'.split(' ')
const EXTENSIONS = 'so h c py js json md txt'.split(' ')

export const title = 'file system'
export const valueBytes = 70

/** @param {number} keyCount a multiple of 16 */
export function createKeys(keyCount) {
  const folders = Math.min(FOLDERS_MAX, keyCount / 16)
  const prefixes = TOPS.map((top) => `${top}/`)
  return {
    keyOf(index) {
      const folder = Math.floor(index / 16) % folders
      const shape = salted(index, 1)
      let levels = ''
      for (let level = 0; level <= shape % 4; level++) levels += `${LEVELS[(shape >>> (8 + 3 * level)) & 7]}/`
      const file = salted(index, 2)
      const name = `${FILES[file & 7]}_${hex((file >>> 6) & 0xffff, 4)}${hex(index, 8)}.${EXTENSIONS[(file >>> 3) & 7]}`
      return `${prefixes[index % 16]}${NAMES[folder % 16]}-${folder}/${levels}${name}`
    },
    prefixes,
    children: folders,
  }
}
