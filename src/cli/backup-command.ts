/** `coppice backup` and `coppice checkpoint`. */

import type { Progress } from '../index.js'
import { withDatabaseAsync } from './database.js'
import { formatBytes, formatCount, formatDuration } from './format.js'
import { type OutputOptions, printJson, printLine } from './output.js'
import { withProgress } from './progress.js'

export async function backupCommand(path: string, destination: string, options: OutputOptions): Promise<void> {
  const start = performance.now()
  let blobs = 0
  await withDatabaseAsync(path, { readOnly: true }, (database) =>
    withProgress(({ signal, onProgress: show }) => {
      const onProgress = (progress: Progress): void => {
        blobs = progress.done
        show(progress)
      }
      return database.backup(destination, { signal, onProgress })
    }),
  )
  const durationMs = Math.round(performance.now() - start)
  if (options.json) printJson({ destination, blobs, durationMs })
  else printLine(`${destination}: ${formatCount(blobs)} blobs in ${formatDuration(durationMs)}`)
}

export async function checkpointCommand(path: string, options: OutputOptions): Promise<void> {
  const report = await withDatabaseAsync(path, { readOnly: false }, (database) => database.checkpoint())
  if (options.json) printJson(report)
  else {
    const blobs = `${formatCount(report.flushedBlobs)} blobs, ${formatBytes(report.bytesWritten)}`
    printLine(`version ${report.version}: ${blobs} in ${formatDuration(report.durationMs)}`)
  }
}
