/**
 * What `coppice index` stores for one path, and how paths become keys.
 *
 * A key is the path below the indexed folder, as the bytes that the file system gave, its parts joined by `/`; a
 * directory's key ends in `/`. So a listing with the delimiter `/` shows a folder's children, and everything below a
 * folder, itself included, shares one prefix.
 */

import type { Stats } from 'node:fs'
import { CommandFailure, EXIT } from './failure.js'

export type FileType = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'block-device' | 'character-device'

/** The value stored for a path, as compact JSON. */
export interface FileRecord {
  type: FileType
  /** Bytes. */
  size: number
  /** Permission bits, set-user-id, set-group-id and sticky bits included. */
  mode: number
  /** Last change of the contents, in whole milliseconds since 1970. */
  mtime: number
}

const PERMISSION_BITS = 0o7777

export function fileType(stats: Stats): FileType {
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  if (stats.isSymbolicLink()) return 'symlink'
  if (stats.isFIFO()) return 'fifo'
  if (stats.isSocket()) return 'socket'
  return stats.isBlockDevice() ? 'block-device' : 'character-device'
}

/** Written out by hand: `JSON.stringify` costs more than everything else that is done for a path but its lstat. */
export function encodeFileRecord(type: FileType, stats: Stats): string {
  const mode = stats.mode & PERMISSION_BITS
  return `{"type":"${type}","size":${stats.size},"mode":${mode},"mtime":${Math.floor(stats.mtimeMs)}}`
}

export function decodeFileRecord(key: Uint8Array, value: Buffer): FileRecord {
  try {
    const record: unknown = JSON.parse(value.toString())
    if (isFileRecord(record)) return record
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new CommandFailure(`the value of ${printable(key)} was not written by coppice index`, EXIT.failure)
}

function isFileRecord(value: unknown): value is FileRecord {
  if (typeof value !== 'object' || value === null) return false
  const { type, size, mode, mtime } = value as Record<string, unknown>
  return typeof type === 'string' && typeof size === 'number' && typeof mode === 'number' && typeof mtime === 'number'
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The key as text; undefined where it is not UTF-8. */
export function keyText(key: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(key)
  } catch {
    return undefined
  }
}

/** The key for a message: what is not UTF-8, or would move the cursor, is escaped. */
export function printable(key: Uint8Array): string {
  return JSON.stringify(keyText(key) ?? Buffer.from(key).toString('latin1'))
}

/**
 * A key for `--json`: its text and, where it is not UTF-8, also its exact bytes as base64, which `--base64` takes back.
 */
export function jsonKey(key: Uint8Array): { path: string; base64?: string } {
  const text = keyText(key)
  if (text !== undefined) return { path: text }
  const bytes = Buffer.from(key)
  return { path: bytes.toString(), base64: bytes.toString('base64') }
}
