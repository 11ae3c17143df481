/**
 * `coppice index`: stores every path below a folder, and drops what an earlier run stored and this one did not find.
 *
 * The walk comes in key order, so each batch is one sorted bulk load, and what is stale between two batches is found by
 * one range scan. Time inside the engine and time on the file system are kept apart.
 */

import { type Stats, statSync } from 'node:fs'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { type Database, open } from '../index.js'
import { closeQuietly, type FileTree, fileTree } from './database.js'
import { CommandFailure, EXIT } from './failure.js'
import { decodeFileRecord, jsonKey, printable } from './file-record.js'
import { formatBytes, formatCount, formatDuration, perSecond } from './format.js'
import { type OutputOptions, printJson, printLine } from './output.js'
import { IndexProgress } from './progress.js'
import { type Skipped, Walk, type WalkedPath } from './walk.js'

const BATCH_PATHS = 4096
const SKIPPED_SHOWN = 10

class IndexReport {
  paths = 0
  files = 0
  directories = 0
  symlinks = 0
  others = 0
  /** Sum of the sizes of files. */
  bytes = 0
  /** Stored by an earlier run, no longer there. */
  removed = 0
  readonly skippedByCode = new Map<string, number>()
  /** The first few only. */
  readonly skippedExamples: Skipped[] = []
  walkMs = 0
  engineMs = 0
  totalMs = 0

  countPath({ type, size }: WalkedPath): void {
    this.paths++
    if (type === 'file') {
      this.files++
      this.bytes += size
    } else if (type === 'directory') this.directories++
    else if (type === 'symlink') this.symlinks++
    else this.others++
  }

  countSkipped(skipped: Skipped): void {
    this.skippedByCode.set(skipped.code, (this.skippedByCode.get(skipped.code) ?? 0) + 1)
    if (this.skippedExamples.length < SKIPPED_SHOWN) this.skippedExamples.push(skipped)
  }

  get skipped(): number {
    return [...this.skippedByCode.values()].reduce((sum, count) => sum + count, 0)
  }
}

/** Adds what `work` took to one of the report's clocks. */
function timed<T>(report: IndexReport, clock: 'walkMs' | 'engineMs', work: () => T): T {
  const start = performance.now()
  try {
    return work()
  } finally {
    report[clock] += performance.now() - start
  }
}

function requireFolder(folder: string): void {
  const stats: Stats | undefined = statSync(folder, { throwIfNoEntry: false })
  if (stats === undefined) throw new CommandFailure(`there is no folder ${folder}`, EXIT.notFound)
  if (!stats.isDirectory()) throw new CommandFailure(`${folder} is not a folder`, EXIT.usage)
}

/** Deletes the keys above `after`, up to `last` where there is one, that the walk did not find. */
function removeStale(tree: FileTree, batch: readonly WalkedPath[], after: Buffer | undefined, last?: Buffer): number {
  const found = new Set(batch.map(({ key }) => Buffer.from(key).toString('latin1')))
  const range = { ...(after === undefined ? {} : { gt: after }), ...(last === undefined ? {} : { lte: last }) }
  const stale = [...tree.keys(range)].filter((key) => !found.has(key.toString('latin1')))
  for (const key of stale) tree.delete(key)
  return stale.length
}

/** Whether there is an index to be brought up to date; fails where there is something else, which would be removed. */
function holdsIndex(tree: FileTree): boolean {
  for (const [key, value] of tree.entries({ limit: 1 })) {
    decodeFileRecord(key, value)
    return true
  }
  return false
}

async function store(database: Database, walk: Walk, report: IndexReport, progress: IndexProgress): Promise<void> {
  const tree = timed(report, 'engineMs', () => fileTree(database))
  const indexedBefore = timed(report, 'engineMs', () => holdsIndex(tree))
  let last: Buffer | undefined
  for (;;) {
    const batch = timed(report, 'walkMs', () => walk.nextBatch(BATCH_PATHS))
    const lastKey = batch.at(-1)?.key
    const end = lastKey === undefined ? undefined : Buffer.from(lastKey)
    timed(report, 'engineMs', () => {
      if (indexedBefore) report.removed += removeStale(tree, batch, last, end)
      tree.putMany(batch.map(({ key, value }) => [key, value] as const))
    })
    if (end === undefined) return
    last = end
    for (const walked of batch) report.countPath(walked)
    progress.update(walk.progress, report.paths, end)
    await setImmediate()
  }
}

export async function indexCommand(folder: string, databasePath: string, options: OutputOptions): Promise<void> {
  requireFolder(folder)
  const report = new IndexReport()
  const start = performance.now()
  const database = timed(report, 'engineMs', () => open(databasePath))
  const progress = new IndexProgress()
  const interrupted = (): void => {
    progress.stop()
    closeQuietly(database)
    process.exit(EXIT.interrupted)
  }
  process.once('SIGINT', interrupted)
  try {
    const walk = timed(report, 'walkMs', () => startWalk(folder, databasePath, report))
    await store(database, walk, report, progress)
  } catch (error) {
    closeQuietly(database)
    throw error
  } finally {
    progress.stop()
    process.off('SIGINT', interrupted)
  }
  timed(report, 'engineMs', () => database.close())
  report.totalMs = performance.now() - start
  if (options.json) printJson(asJson(report, folder, databasePath))
  else printReport(report, folder, databasePath)
}

function startWalk(folder: string, databasePath: string, report: IndexReport): Walk {
  const exclude = statSync(databasePath)
  const root = statSync(folder)
  if (root.ino === exclude.ino && root.dev === exclude.dev) {
    throw new CommandFailure(`${folder} is the database itself`, EXIT.usage)
  }
  try {
    return new Walk(path.resolve(folder), { exclude, onSkip: (skipped) => report.countSkipped(skipped) })
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new CommandFailure(`the folder ${folder} cannot be read (${code})`, EXIT.failure, error)
  }
}

function asJson(report: IndexReport, folder: string, database: string): object {
  const { paths, files, directories, symlinks, others, bytes, removed, skipped, skippedByCode } = report
  const { walkMs, engineMs, totalMs, skippedExamples } = report
  return {
    ...{ folder, database, paths, files, directories, symlinks, others, bytes, removed, skipped },
    skippedByCode: Object.fromEntries(skippedByCode),
    skippedExamples: skippedExamples.map(({ path: skippedPath, code }) => ({ ...jsonKey(skippedPath), code })),
    ...{ walkMs, engineMs, totalMs },
    pathsPerSecond: perSecond(paths, totalMs),
    pathsPerEngineSecond: perSecond(paths, engineMs),
  }
}

function printReport(report: IndexReport, folder: string, database: string): void {
  const kinds = [
    `${formatCount(report.files)} files of ${formatBytes(report.bytes)}`,
    `${formatCount(report.directories)} directories`,
    `${formatCount(report.symlinks)} symbolic links`,
    ...(report.others > 0 ? [`${formatCount(report.others)} others`] : []),
  ]
  const rate = (ms: number): string => `${formatCount(perSecond(report.paths, ms))} paths/s`
  printLine(`Indexed ${formatCount(report.paths)} paths from ${folder} into ${database}`)
  printLine(`  ${kinds.join(', ')}`)
  if (report.removed > 0) printLine(`  ${formatCount(report.removed)} that are no longer there were removed`)
  printLine(`  walk    ${formatDuration(report.walkMs).padStart(8)}`)
  printLine(`  engine  ${formatDuration(report.engineMs).padStart(8)}  ${rate(report.engineMs)}`)
  printLine(`  total   ${formatDuration(report.totalMs).padStart(8)}  ${rate(report.totalMs)}`)
  if (report.skipped > 0) printSkipped(report)
}

function printSkipped(report: IndexReport): void {
  const codes = [...report.skippedByCode].map(([code, count]) => `${formatCount(count)} ${code}`)
  printLine(`  skipped ${formatCount(report.skipped)}: ${codes.join(', ')}`)
  for (const { path: skippedPath, code } of report.skippedExamples) printLine(`    ${code}  ${printable(skippedPath)}`)
  const more = report.skipped - report.skippedExamples.length
  if (more > 0) printLine(`    and ${formatCount(more)} more`)
}
