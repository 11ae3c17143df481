/**
 * Walks a directory tree in the byte order of the keys that the paths become.
 *
 * Promises that keys come out strictly ascending, that nothing is followed or opened but directories, and that what
 * cannot be read is reported and skipped, never fatal. Does not touch the database.
 *
 * Names are held as latin1 strings: one character a byte, so any name survives, comparing them compares bytes, and the
 * common all-ASCII path is handed to the system as it is.
 */

import { lstatSync, readdirSync, type Stats } from 'node:fs'
import { encodeFileRecord, type FileType, fileType } from './file-record.js'

/** The longest key that the engine takes, in bytes. */
const MAX_KEY_BYTES = 8192

export interface Skipped {
  path: Buffer
  /** The system's error code: EACCES for a missing permission, ENOENT for what vanished during the walk. */
  code: string
}

export interface WalkedPath {
  key: string | Buffer
  value: string
  type: FileType
  size: number
}

export interface WalkOptions {
  /** A directory to leave out, with all below it. */
  exclude?: { dev: number; ino: number }
  onSkip: (skipped: Skipped) => void
}

/** One directory entry: its key below the root, in latin1, and its record. */
interface Child {
  key: string
  value: string
  type: FileType
  size: number
}

interface Directory {
  children: Child[]
  /** Index of the next child. */
  next: number
  /** How much of the whole tree each child is taken to be. */
  share: number
}

const NON_ASCII = /[^\0-\x7f]/

/** A latin1 string as the system and the engine take it: itself where that is the same bytes in UTF-8. */
function exactBytes(latin1: string): string | Buffer {
  return NON_ASCII.test(latin1) ? Buffer.from(latin1, 'latin1') : latin1
}

function errorCode(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  if (code === undefined) throw error
  return code
}

export class Walk {
  readonly #root: string
  readonly #options: WalkOptions
  readonly #open: Directory[] = []
  #progress = 0

  /** `root` is a directory; the root itself has no key. Throws the system's error where it cannot be read. */
  constructor(root: string, options: WalkOptions) {
    this.#root = `${Buffer.from(root).toString('latin1').replace(/\/$/, '')}/`
    this.#options = options
    this.#enter(readdirSync(root, 'latin1'), '', 1)
  }

  /** How much of the tree is done, from 0 to 1: a guess that takes the children of one directory for equally large. */
  get progress(): number {
    return this.#progress
  }

  /** The next paths, at most `limit`; an empty array at the end. */
  nextBatch(limit: number): WalkedPath[] {
    const batch: WalkedPath[] = []
    while (batch.length < limit) {
      const directory = this.#open.at(-1)
      if (directory === undefined) break
      const child = directory.children[directory.next++]
      if (child === undefined) {
        this.#open.pop()
        continue
      }
      batch.push({ ...child, key: exactBytes(child.key) })
      if (child.type === 'directory') this.#descend(child.key, directory.share)
      else this.#progress += directory.share
    }
    return batch
  }

  #descend(key: string, share: number): void {
    try {
      this.#enter(readdirSync(exactBytes(this.#root + key), 'latin1'), key, share)
    } catch (error) {
      this.#skip(key, errorCode(error))
      this.#progress += share
    }
  }

  #enter(names: string[], prefix: string, share: number): void {
    const children: Child[] = []
    for (const name of names) {
      const child = this.#inspect(prefix + name)
      if (child !== undefined) children.push(child)
    }
    children.sort((a, b) => (a.key < b.key ? -1 : 1))
    if (children.length === 0) this.#progress += share
    else this.#open.push({ children, next: 0, share: share / children.length })
  }

  #inspect(path: string): Child | undefined {
    try {
      const stats = lstatSync(exactBytes(this.#root + path))
      const type = fileType(stats)
      const key = type === 'directory' ? `${path}/` : path
      if (key.length > MAX_KEY_BYTES) return this.#skip(path, 'ENAMETOOLONG')
      if (type === 'directory' && this.#isExcluded(stats)) return undefined
      return { key, value: encodeFileRecord(type, stats), type, size: stats.size }
    } catch (error) {
      return this.#skip(path, errorCode(error))
    }
  }

  #isExcluded(stats: Stats): boolean {
    const { exclude } = this.#options
    return exclude !== undefined && stats.ino === exclude.ino && stats.dev === exclude.dev
  }

  #skip(path: string, code: string): undefined {
    this.#options.onSkip({ path: Buffer.from(path, 'latin1'), code })
  }
}
