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

/** Its parts, in this order: lines are added at the end of the last one. */
export const [DEFECTS, TOTALS, RUNS] = ['## Planted defects', '## Totals', '## Runs']

/** The cells of every line: date, commit, suite, seeds, what was tried, result. */
function cellsOf(ledger) {
  const lines = ledger.split('\n').filter((line) => line.startsWith('| 2'))
  return lines.map((line) => line.split('|').map((cell) => cell.trim()))
}

/** Lines of one suite. */
export async function linesOf(suite) {
  return cellsOf(await readFile(LEDGER, 'utf8')).filter((cell) => cell[3] === suite)
}

/** What all lines add up to: of each suite how many there are, how many failed, and the sums of their figures. */
function totalsOf(ledger) {
  const suites = new Map()
  for (const [, , , suite, , figures, result] of cellsOf(ledger)) {
    const total = suites.get(suite) ?? { lines: 0, failed: 0, sums: new Map() }
    suites.set(suite, total)
    total.lines += 1
    if (result.startsWith('FAILED')) total.failed += 1
    for (const [, count, what] of figures.matchAll(/(\d+) ([a-z][a-z ]*)/g)) {
      total.sums.set(what, (total.sums.get(what) ?? 0) + Number(count))
    }
  }
  const rows = [...suites].map(([suite, { lines, failed, sums }]) => {
    const tried = [...sums].map(([what, count]) => `${count.toLocaleString('en')} ${what}`).join(', ')
    return `| ${suite} | ${lines} | ${failed} | ${tried} |`
  })
  return [
    TOTALS,
    '',
    'Of the lines below.',
    '',
    '| suite | lines | failed | what was tried |',
    '|---|---|---|---|',
    ...rows,
  ]
}

/** The ledger with its totals made anew. */
function withTotals(ledger) {
  const runs = ledger.indexOf(RUNS)
  const totals = ledger.indexOf(TOTALS)
  const before = ledger.slice(0, totals < 0 ? runs : totals)
  return `${before}${totalsOf(ledger).join('\n')}\n\n${ledger.slice(runs)}`
}

/** Adds a line. What a failure said is made to fit the table. */
export async function note(version, suite, seeds, figures, result) {
  const date = new Date().toISOString().slice(0, 16).replace('T', ' ')
  const cells = [date, version, suite, seeds, figures, result]
  const line = `| ${cells.map((cell) => cell.replaceAll('\n', ' ').replaceAll('|', '\\|')).join(' | ')} |`
  const ledger = await readFile(LEDGER, 'utf8')
  await writeFile(LEDGER, withTotals(`${ledger.trimEnd()}\n${line}\n`))
}
