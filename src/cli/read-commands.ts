/** The commands that only read: `ls`, `get`, `count`, `du` and `stats`. */

import { type FileTree, fileTree, withDatabase } from './database.js'
import { CommandFailure, EXIT } from './failure.js'
import { decodeFileRecord, type FileRecord, jsonKey, printable } from './file-record.js'
import { formatBytes, formatCount, formatMode, formatTime } from './format.js'
import { jsonRecord, longFormat, type OutputOptions, printJson, printLine, printPath } from './output.js'

const DELIMITER = '/'
const SLASH = DELIMITER.charCodeAt(0)

export interface KeyOptions extends OutputOptions {
  /** The path or prefix is given as base64, for names that are not UTF-8. */
  base64?: boolean
}

export interface ListOptions extends KeyOptions {
  long?: boolean
}

function parseKey(text: string, { base64 }: KeyOptions): Buffer {
  if (!base64) return Buffer.from(text)
  const key = Buffer.from(text, 'base64')
  if (key.toString('base64') !== text) throw new CommandFailure(`${JSON.stringify(text)} is not base64`, EXIT.usage)
  return key
}

/** A line of a listing: a stored key, or what was rolled up at the delimiter. */
interface Listed {
  key: Buffer
  isPrefix: boolean
}

/** The children of a prefix in key order, a page at a time; the key that is the prefix itself is left out. */
function* listChildren(tree: FileTree, prefix: Buffer): Generator<Listed> {
  let token: string | undefined
  do {
    const page = tree.list({ prefix, delimiter: DELIMITER, ...(token === undefined ? {} : { token }) })
    const listed = [
      ...page.keys.filter((key) => !key.equals(prefix)).map((key) => ({ key, isPrefix: false })),
      ...page.prefixes.map((key) => ({ key, isPrefix: true })),
    ]
    yield* listed.sort((a, b) => Buffer.compare(a.key, b.key))
    token = page.next
  } while (token !== undefined)
}

function readRecord(tree: FileTree, key: Buffer): FileRecord | undefined {
  const value = tree.get(key)
  return value === undefined ? undefined : decodeFileRecord(key, value)
}

export function lsCommand(path: string, prefixText: string, options: ListOptions): void {
  const prefix = parseKey(prefixText, options)
  withDatabase(path, (database) => {
    const tree = fileTree(database)
    if (options.json) {
      const entries = [...listChildren(tree, prefix)].map(({ key, isPrefix }) => ({
        ...(options.long ? { ...jsonKey(key), ...readRecord(tree, key) } : jsonKey(key)),
        isPrefix,
      }))
      printJson({ prefix: prefixText, entries })
      return
    }
    for (const { key } of listChildren(tree, prefix)) {
      const record = options.long ? readRecord(tree, key) : undefined
      printPath(key, record === undefined ? '' : longFormat(record))
    }
  })
}

/** Finds a path as it is stored, or the directory of that name. */
function findRecord(tree: FileTree, key: Buffer): { key: Buffer; record: FileRecord } | undefined {
  for (const candidate of [key, Buffer.concat([key, Buffer.from(DELIMITER)])]) {
    const record = readRecord(tree, candidate)
    if (record !== undefined) return { key: candidate, record }
  }
  return undefined
}

export function getCommand(path: string, pathText: string, options: KeyOptions): void {
  const wanted = parseKey(pathText, options)
  const found = withDatabase(path, (database) => findRecord(fileTree(database), wanted))
  if (found === undefined) throw new CommandFailure(`${printable(wanted)} is not in ${path}`, EXIT.notFound)
  const { key, record } = found
  if (options.json) {
    printJson(jsonRecord(key, record))
    return
  }
  printPath(key, 'path   ')
  printLine(`type   ${record.type}`)
  printLine(`size   ${formatCount(record.size)} (${formatBytes(record.size)})`)
  printLine(`mode   ${formatMode(record.mode)}`)
  printLine(`mtime  ${formatTime(record.mtime)}`)
}

export function countCommand(path: string, prefixText: string, options: KeyOptions): void {
  const prefix = parseKey(prefixText, options)
  const count = withDatabase(path, (database) => fileTree(database).count(prefix))
  if (options.json) printJson({ prefix: prefixText, count })
  else printLine(String(count))
}

interface Usage {
  key: Buffer
  bytes: number
  files: number
}

/** The child of a prefix that a key belongs to: up to the first delimiter after the prefix. */
function childOf(key: Buffer, prefixLength: number): Buffer {
  const slash = key.indexOf(SLASH, prefixLength)
  return slash < 0 ? key : key.subarray(0, slash + 1)
}

/** Adds up the files under each child; keys come in order, so a child's keys are neighbours. */
function measureChildren(tree: FileTree, prefix: Buffer): Usage[] {
  const usages: Usage[] = []
  for (const [key, value] of tree.entries({ prefix })) {
    if (key.equals(prefix)) continue
    const child = childOf(key, prefix.length)
    let usage = usages.at(-1)
    if (usage === undefined || !usage.key.equals(child)) {
      usage = { key: Buffer.from(child), bytes: 0, files: 0 }
      usages.push(usage)
    }
    const record = decodeFileRecord(key, value)
    if (record.type === 'file') {
      usage.bytes += record.size
      usage.files++
    }
  }
  return usages.sort((a, b) => b.bytes - a.bytes || Buffer.compare(a.key, b.key))
}

export function duCommand(path: string, prefixText: string, options: KeyOptions): void {
  const prefix = parseKey(prefixText, options)
  const children = withDatabase(path, (database) => measureChildren(fileTree(database), prefix))
  const bytes = children.reduce((sum, child) => sum + child.bytes, 0)
  const files = children.reduce((sum, child) => sum + child.files, 0)
  if (options.json) {
    const usage = children.map((child) => ({ ...jsonKey(child.key), bytes: child.bytes, files: child.files }))
    printJson({ prefix: prefixText, bytes, files, children: usage })
    return
  }
  const line = (size: number, count: number): string =>
    `${formatBytes(size).padStart(9)}  ${formatCount(count).padStart(11)}  `
  for (const child of children) printPath(child.key, line(child.bytes, child.files))
  printLine(`${line(bytes, files)}total`)
}

/** `{ a: { b: 1 } }` as `a.b  1`. */
function flatten(value: object, prefix = ''): [string, string][] {
  return Object.entries(value).flatMap(([name, inner]): [string, string][] =>
    typeof inner === 'object' && inner !== null
      ? flatten(inner, `${prefix}${name}.`)
      : [[prefix + name, String(inner)]],
  )
}

export function statsCommand(path: string, options: OutputOptions): void {
  const stats = withDatabase(path, (database) => database.stats())
  if (options.json) {
    printJson(stats)
    return
  }
  const rows = flatten(stats)
  const width = Math.max(...rows.map(([name]) => name.length))
  for (const [name, value] of rows) printLine(`${name.padEnd(width)}  ${value}`)
}
