/** `coppice verify`: everything is read and checked, and each thing that is wrong gets a line. */

import type { VerifyReport } from '../index.js'
import { withDatabaseAsync } from './database.js'
import { CommandFailure, EXIT } from './failure.js'
import { formatBytes, formatCount, formatCounted } from './format.js'
import { type OutputOptions, printJson, printLine, printProblems } from './output.js'
import { withProgress } from './progress.js'

export async function verifyCommand(path: string, options: OutputOptions): Promise<void> {
  const report = await withDatabaseAsync(path, { readOnly: true }, (database) =>
    withProgress((control) => database.verify(control)),
  )
  if (options.json) printJson(report)
  else printReport(report)
  const found = report.problems.length
  if (found > 0) throw new CommandFailure(`${path}: ${formatCounted(found, 'problem')}`, EXIT.failure)
}

function printReport({ trees, keys, blobs, bytes, problems }: VerifyReport): void {
  printProblems(problems)
  if (problems.length > 0) return
  printLine(
    `sound: ${formatCount(keys)} keys, ${formatCount(trees)} trees, ${formatCount(blobs)} blobs (${formatBytes(bytes)})`,
  )
}
