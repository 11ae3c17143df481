/** `coppice salvage`: what was kept of a damaged database, and a line for each thing that was not. */

import { type LostKeys, type SalvageReport, salvage } from '../index.js'
import { CommandFailure, EXIT } from './failure.js'
import { jsonKey, printable } from './file-record.js'
import { formatCount, formatCounted } from './format.js'
import { type OutputOptions, printJson, printLine, printProblems } from './output.js'
import { withProgress } from './progress.js'

export async function salvageCommand(path: string, destination: string, options: OutputOptions): Promise<void> {
  const report = await withProgress((control) => salvage(path, destination, control))
  if (options.json) printJson(jsonReport(report))
  else printReport(report)
  const found = report.problems.length
  if (found > 0) {
    const problems = formatCounted(found, 'problem')
    throw new CommandFailure(`${path}: ${problems}; what could be kept is in ${destination}`, EXIT.failure)
  }
}

function jsonReport(report: SalvageReport): object {
  const lost = report.lost.map(({ first, last, ...rest }) => ({ ...rest, first: jsonKey(first), last: jsonKey(last) }))
  return { ...report, lost }
}

function printReport(report: SalvageReport): void {
  const { trees, keys, lostAndFound, unplaced, problems, lost } = report
  printProblems(problems)
  for (const keys of lost) printLine(`lost: ${describeLoss(keys)}`)
  if (lostAndFound !== undefined) {
    printLine(`without a place: ${formatCount(unplaced)} records, in the tree ${JSON.stringify(lostAndFound)}`)
  }
  printLine(`kept: ${formatCount(keys)} keys, ${formatCount(trees)} trees`)
}

function describeLoss({ tree, first, last, records }: LostKeys): string {
  const count = formatCounted(records, 'record')
  if (tree === undefined) return `${count}, of which it is not known where they were`
  const range = first.equals(last) ? printable(first) : `${printable(first)} to ${printable(last)}`
  return `${count} of the tree ${JSON.stringify(tree)} at ${range}`
}
