/** `coppice backup` and `coppice checkpoint`. */

import { withDatabaseAsync } from './database.js'
import { formatBytes, formatCount, formatDuration } from './format.js'
import { interruptible } from './interrupt.js'
import { type OutputOptions, printJson, printLine } from './output.js'
import { JobProgress } from './progress.js'

export async function backupCommand(path: string, destination: string, options: OutputOptions): Promise<void> {
  const start = performance.now()
  let blobs = 0
  await withDatabaseAsync(path, { readOnly: true }, async (database) => {
    const progress = new JobProgress()
    const onProgress = (step: { done: number; total: number }): void => {
      blobs = step.done
      progress.update(step)
    }
    try {
      await interruptible((signal) => database.backup(destination, { signal, onProgress }))
    } finally {
      progress.stop()
    }
  })
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
