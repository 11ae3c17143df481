// The lines of docs/reliability-ledger.md.

import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { root, run } from './process.mjs'

/** The file. */
export const LEDGER = path.join(root, 'docs/reliability-ledger.md')

/** The commit that what is run is built from, and whether these files have changed since. */
export async function revision(...files) {
  const quietly = { quiet: true }
  const commit = (await run('git', ['rev-parse', '--short=10', 'HEAD'], quietly)).trim()
  const changes = await run('git', ['status', '--porcelain', '--', ...files], quietly)
  return changes === '' ? commit : `${commit} and changes`
}

/** Lines of one suite: date, commit, suite, seeds, what was tried, result. */
export async function linesOf(suite) {
  const lines = (await readFile(LEDGER, 'utf8')).split('\n').filter((line) => line.startsWith('| 2'))
  const cells = lines.map((line) => line.split('|').map((cell) => cell.trim()))
  return cells.filter((cell) => cell[3] === suite)
}

/** Adds a line. What a failure said is made to fit the table. */
export async function note(version, suite, seeds, figures, result) {
  const date = new Date().toISOString().slice(0, 16).replace('T', ' ')
  const cells = [date, version, suite, seeds, figures, result]
  const line = `| ${cells.map((cell) => cell.replaceAll('\n', ' ').replaceAll('|', '\\|')).join(' | ')} |`
  const ledger = await readFile(LEDGER, 'utf8')
  await writeFile(LEDGER, `${ledger.trimEnd()}\n${line}\n`)
}
