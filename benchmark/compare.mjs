// Takes every operation through all engines on one workload, round by round, one engine after the other, so that whatever
// else the machine does meets all of them.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { EngineProcess } from './engines.mjs'
import { operationsOf } from './operations.mjs'
import { createWorkload } from './workload.mjs'

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** Asks all engines, one after the other; their answers by name. */
async function askEach(engines, request, argument) {
  const answers = {}
  for (const engine of engines) answers[engine.name] = await engine.ask(request, argument)
  return answers
}

/** Fails where two engines do not say the same. */
async function fillAndCompare(engines, operations) {
  const digests = await askEach(engines, 'fill')
  const [first, ...others] = engines
  for (const { id } of operations) {
    const stray = others.find(({ name }) => digests[name][id] !== digests[first.name][id])
    if (stray !== undefined) throw new Error(`${first.name} and ${stray.name} do not give the same answers to ${id}`)
  }
}

/** What a request to the engines' processes measures of an operation in one round. */
function measured(operation, seconds) {
  if (operation.prepare !== undefined) return ['measure', { id: operation.id, seconds }]
  return operation.durable ? ['putDurably', { seconds }] : ['insert']
}

/**
 * Measures one workload of one size. For each operation `medians` has nanoseconds by engine, `latencies` those of single
 * calls; `space` has bytes of memory and disk.
 */
export async function compare(workloadName, size, { engines: names, operations: ids, rounds, seconds }, say) {
  const folder = mkdtempSync(path.join(tmpdir(), 'coppice-benchmark-'))
  const workload = createWorkload(workloadName, size)
  const operations = operationsOf(workload, ids)
  const engines = names.map((name) => new EngineProcess(name, folder, workloadName, size, ids))
  try {
    for (const engine of engines) await engine.ready
    say('filling')
    await fillAndCompare(engines, operations)
    const figures = new Map(operations.map(({ id }) => [id, Object.fromEntries(names.map((name) => [name, []]))]))
    const runRounds = async (some) => {
      for (let round = 1; round <= rounds; round++) {
        for (const operation of some) {
          say(`round ${round} of ${rounds}: ${operation.title(workload)}`)
          const answers = await askEach(engines, ...measured(operation, seconds))
          for (const name of names) figures.get(operation.id)[name].push(answers[name])
        }
      }
    }
    const durable = operations.filter((operation) => operation.durable)
    const buffered = operations.filter((operation) => !operation.durable && operation.id !== 'open')
    await runRounds(buffered)
    const space = await askEach(engines, 'measureSpace')
    if (durable.length > 0) {
      await askEach(engines, 'openDurably')
      await runRounds(durable)
    }
    if (figures.has('open')) {
      say('opening')
      figures.set('open', await askEach(engines, 'timeOpenings'))
    }
    const latencies = await askEach(engines, 'summarizeLatencies')
    return {
      workload: workloadName,
      title: workload.title,
      keys: workload.keyCount,
      keyBytes: Math.round(workload.keys.reduce((total, key) => total + key.length, 0) / workload.keys.length),
      valueBytes: workload.valueBytes,
      operations: operations.map((operation) => ({
        id: operation.id,
        title: operation.title(workload),
        medians: Object.fromEntries(names.map((name) => [name, median(figures.get(operation.id)[name])])),
        latencies: Object.fromEntries(
          names.flatMap((name) => (latencies[name][operation.id] ? [[name, latencies[name][operation.id]]] : [])),
        ),
      })),
      space,
    }
  } finally {
    await Promise.all(engines.map((engine) => engine.end()))
    rmSync(folder, { recursive: true, force: true })
  }
}
