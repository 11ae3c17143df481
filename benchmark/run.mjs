// Measures coppice side by side with other embedded stores of npm, and prints one table.
//
//   node benchmark/run.mjs [--keys N] [--rounds N] [--seconds S]
//
// Every round takes each operation through all engines, one after the other, so that whatever else the machine does
// meets all of them. A figure is the median over rounds of benny's median; --seconds is what one engine gets for one
// operation in one round. Ratios of one run mean something, nanoseconds of two machines do not.

import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import benny from 'benny'
import { run } from '../scripts/lib/process.mjs'
import { createWorkload, KEYS_MIN } from './workload.mjs'

/** The engine that the others are compared with comes first. */
const ENGINES = ['coppice', 'lmdb', 'classic-level']
const MIN_SAMPLES = 5

function readFlags() {
  const { values } = parseArgs({
    options: {
      keys: { type: 'string', default: '20000' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '0.2' },
    },
  })
  const flags = { keys: Number(values.keys), rounds: Number(values.rounds), seconds: Number(values.seconds) }
  if (!Number.isInteger(flags.keys) || flags.keys < KEYS_MIN) throw new Error(`--keys: a whole number from ${KEYS_MIN}`)
  if (!Number.isInteger(flags.rounds) || flags.rounds < 1) throw new Error('--rounds: a whole number from 1')
  if (!(flags.seconds > 0)) throw new Error('--seconds: a number greater than 0')
  return flags
}

/** Builds the package where it does not load; a build that is there is measured as it is. */
async function buildIfMissing() {
  try {
    createRequire(import.meta.url)('coppice')
  } catch {
    await run(process.execPath, ['scripts/build.mjs', '--release'])
  }
}

async function openEngine(file, folder) {
  const { name, openEngine: open } = await import(`./engines/${file}.mjs`)
  return { name, ...(await open(folder)) }
}

/** Puts the records in, and sees to it that the engine answers every operation rightly. */
async function fillAndCheck(engine, { batches, operations }) {
  for (const batch of batches) await engine.putBatch(batch)
  for (const operation of operations) {
    const answer = await operation.prepare(engine)()
    if (!operation.isRight(answer)) throw new Error(`${engine.name} gives a wrong answer to ${operation.name}`)
  }
  await engine.settle()
}

/** Nanoseconds that one operation takes on each engine, in their order, in one round. */
async function measure(operation, engines, title, seconds) {
  const cases = engines.map((engine) => benny.add(engine.name, operation.prepare(engine)))
  const options = { minSamples: MIN_SAMPLES, minTime: seconds / MIN_SAMPLES, maxTime: seconds }
  const { results } = await benny.suite(title, ...cases, benny.configure({ cases: options }))
  // Writes leave work behind, which must not fall into the measurement of what comes next.
  for (const engine of engines) await engine.settle()
  return results.map(({ details }) => (details.median * 1e9) / operation.times)
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

const wholeNumber = (number) => Math.round(number).toLocaleString('en-US')
const ratio = (number) => number.toLocaleString('en-US', { maximumSignificantDigits: 3 })

/** One row of the table; `figures` is a list of rounds, each with a figure per engine. */
function formatRow(operation, figures) {
  const [own, ...peers] = ENGINES.map((_, engine) => median(figures.map((round) => round[engine])))
  const peerCells = peers.flatMap((peer) => [wholeNumber(peer), `1 : ${ratio(peer / own)}`])
  return [operation.name, wholeNumber(own), ...peerCells]
}

function printTable(rows) {
  const [own, ...peers] = ENGINES
  const header = ['ns per operation', own, ...peers.flatMap((peer) => [peer, `${own} : ${peer}`])]
  const table = [header, ...rows]
  const widths = header.map((_, column) => Math.max(...table.map((row) => row[column].length)))
  for (const row of table) {
    const cells = row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
    console.log(cells.join('   '))
  }
}

let flags
try {
  flags = readFlags()
} catch (error) {
  console.error(error.message)
  process.exit(2)
}
await buildIfMissing()
const workload = createWorkload(flags.keys)
const folder = mkdtempSync(path.join(tmpdir(), 'coppice-benchmark-'))
const engines = []
try {
  for (const file of ENGINES) engines.push(await openEngine(file, folder))
  for (const engine of engines) await fillAndCheck(engine, workload)
  const figures = workload.operations.map(() => [])
  for (let round = 1; round <= flags.rounds; round++) {
    for (const [index, operation] of workload.operations.entries()) {
      const title = `${operation.name}, round ${round} of ${flags.rounds}`
      figures[index].push(await measure(operation, engines, title, flags.seconds))
    }
  }
  const size = `${wholeNumber(workload.keys.length)} keys of ${workload.keyBytes} bytes, values of ${workload.valueBytes}`
  const machine = `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown processor'}`
  console.log(
    `\n${size}; no sync per write; medians of ${flags.rounds} rounds; Node.js ${process.version}, ${machine}\n`,
  )
  printTable(workload.operations.map((operation, index) => formatRow(operation, figures[index])))
} finally {
  for (const engine of engines) await engine.close()
  rmSync(folder, { recursive: true, force: true })
}
