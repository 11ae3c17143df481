// Measures coppice side by side with other embedded stores of npm, prints tables and draws plots.
//
// Ratios of one run mean something, nanoseconds of two machines do not.

import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import path from 'node:path'
import { compare } from './compare.mjs'
import { buildIfMissing } from './engines.mjs'
import { parseOptions, USAGE } from './options.mjs'
import { drawLatencies, drawRatios } from './report/plots.mjs'
import { formatComparison } from './report/table.mjs'

let options
try {
  options = parseOptions(process.argv.slice(2))
} catch (error) {
  console.error(`${error.message}\n\n${USAGE}`)
  process.exit(2)
}
if (options.help) {
  console.log(USAGE)
  process.exit()
}

/** One line that changes, where somebody watches. */
function say(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

for (const engine of options.engines) await buildIfMissing(engine)
const machine = `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown processor'}`
console.log(`medians of ${options.rounds} rounds; ×: how many times the figure of ${options.engines[0]}`)
console.log(`Node.js ${process.version}, ${machine}`)
const comparisons = []
for (const workload of options.workloads) {
  for (const size of options.sizes) {
    const comparison = await compare(workload, size, options, (text) => say(`${workload}, ${size} keys: ${text}`))
    say('')
    console.log(`\n${formatComparison(comparison, options.engines)}`)
    comparisons.push(comparison)
  }
}
if (options.output !== undefined) {
  mkdirSync(options.output, { recursive: true })
  const write = (name, text) => writeFileSync(path.join(options.output, name), text)
  for (const comparison of comparisons) {
    const name = `${comparison.workload}-${comparison.keys}`
    write(`${name}-ratios.svg`, drawRatios(comparison, options.engines))
    const timed = comparison.operations.some(({ latencies }) => Object.keys(latencies).length > 0)
    if (timed) write(`${name}-latencies.svg`, drawLatencies(comparison, options.engines))
  }
  write('results.json', `${JSON.stringify({ node: process.version, machine, comparisons }, null, 2)}\n`)
}
