/** Writing results: text for people, one JSON document for programs. */

import type { VerifyReport } from '../index.js'
import { type FileRecord, jsonKey } from './file-record.js'
import { formatMode, formatTime } from './format.js'

export interface OutputOptions {
  json?: boolean
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

/** Writes a line that ends in a path, the path as its exact bytes. */
export function printPath(path: Uint8Array, before = ''): void {
  process.stdout.write(Buffer.concat([Buffer.from(before), path, Buffer.from('\n')]))
}

export function printLine(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** A line for each thing that is wrong, and where. */
export function printProblems(problems: VerifyReport['problems']): void {
  for (const { file, offset, what } of problems) printLine(`${file}:${offset}  ${what}`)
}

/** `ls -l` without owners: mode, size, time of the last change. */
export function longFormat({ type, size, mode, mtime }: FileRecord): string {
  const changed = formatTime(mtime).slice(0, 19).replace('T', ' ').padEnd(19)
  return `${type.padEnd(10)} ${formatMode(mode).padStart(5)} ${String(size).padStart(14)}  ${changed}  `
}

export function jsonRecord(key: Uint8Array, record: FileRecord): object {
  return { ...jsonKey(key), ...record }
}
