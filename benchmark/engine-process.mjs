// One engine in a process of its own, so that no engine's memory, threads or garbage falls on another's. Does what it is
// asked for over IPC, one request at a time (benchmark/engines.mjs has the other end).

import { mkdirSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import benny from 'benny'
import { digestOf, OPERATIONS, operationsOf, reads } from './operations.mjs'
import { createWorkload } from './workload.mjs'

const FILL_RECORDS = 1000
const MIN_SAMPLES = 5
const IN_FLIGHT = 256
const LATENCIES_MAX = 20_000
const INSERTS_MAX = 20_000
const INSERTS_MIN = 500
const OPENS = 5
const QUIET_MILLISECONDS = 5000

const [, , engineName, folder, workloadName, size, operationIds] = process.argv
const { openEngine } = await import(`./engines/${engineName}.mjs`)
const workload = createWorkload(workloadName, Number(size))
const operations = operationsOf(workload, operationIds.split(','))
const operationOf = (id) => OPERATIONS.find((operation) => operation.id === id)
const insertsPerRound = Math.min(INSERTS_MAX, Math.max(INSERTS_MIN, Math.floor(workload.keyCount / 50)))

let engine
let inserted = 0
let putDurablySoFar = 0
let residentBefore = 0
/** Functions to time, made once, so that each round goes on where the one before stopped. */
const prepared = new Map()
/** Milliseconds of single calls, by operation. */
const latencies = new Map()

const nanoseconds = (since) => (performance.now() - since) * 1e6

function prepare(kind, operation) {
  const key = `${kind} ${operation.id}`
  if (!prepared.has(key)) prepared.set(key, operation[kind](engine, workload))
  return prepared.get(key)
}

function latenciesOf(id) {
  if (!latencies.has(id)) latencies.set(id, [])
  return latencies.get(id)
}

async function open(durable) {
  prepared.clear()
  engine = await openEngine(folder, durable)
}

/** Puts the records in, and answers with digests of what the engine then says. */
async function fill() {
  mkdirSync(folder)
  globalThis.gc()
  residentBefore = process.memoryUsage.rss()
  await open(false)
  for (const batch of workload.batches(FILL_RECORDS)) await engine.putMany(batch)
  await engine.settle()
  const digests = {}
  for (const operation of operations.filter(reads)) {
    digests[operation.id] = await digestOf(operation, engine, workload)
  }
  return digests
}

/** Nanoseconds that an operation takes; single calls are timed behind that. */
async function measure({ id, seconds }) {
  const operation = operationOf(id)
  const options = { minSamples: MIN_SAMPLES, minTime: seconds / MIN_SAMPLES, maxTime: seconds }
  const timed = benny.add(id, prepare('prepare', operation))
  const { results } = await benny.suite(id, timed, benny.configure({ cases: options }))
  if (operation.latency !== undefined) await timeSingleCalls(operation, seconds)
  if (operation.writes) await engine.settle()
  return (results[0].details.median * 1e9) / (operation.times ?? 1)
}

async function timeSingleCalls(operation, seconds) {
  const call = prepare('latency', operation)
  const taken = latenciesOf(operation.id)
  const end = performance.now() + seconds * 1000
  for (let count = 0, start = performance.now(); count < LATENCIES_MAX && start < end; count++) {
    const answer = call()
    // Nothing is awaited that is no promise, since that alone would take longer than most calls.
    if (answer instanceof Promise) await answer
    const now = performance.now()
    taken.push(now - start)
    start = performance.now()
  }
}

/** New records, as many for each engine, so that all grow alike. */
async function insert() {
  const records = workload.newRecords(inserted, insertsPerRound)
  inserted += insertsPerRound
  const start = performance.now()
  await engine.putEach(records)
  const taken = nanoseconds(start)
  await engine.settle()
  return taken / insertsPerRound
}

/** Closes what is open and opens it for durable writes, with all that was in memory there again. */
async function openDurably() {
  await engine.close()
  await open(true)
  for (const key of workload.keys) engine.get(key)
}

/** Writers that each wait for one write to be on disk before they begin the next. */
async function putDurably({ seconds }) {
  const taken = latenciesOf('durable-put')
  const { keys, values } = workload
  const start = performance.now()
  const end = start + seconds * 1000
  const first = putDurablySoFar
  async function writer() {
    for (let began = start; began < end; ) {
      const next = putDurablySoFar
      const key = keys[next % keys.length]
      // Never the one that is there, which SQLite would not write: those of other puts are at a shift of 0 and 1.
      const value = values[(next + 2 + Math.floor(next / keys.length)) % values.length]
      putDurablySoFar += 1
      began = performance.now()
      const written = engine.putDurably(key, value)
      if (written instanceof Promise) await written
      taken.push(performance.now() - began)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, writer))
  const mean = nanoseconds(start) / (putDurablySoFar - first)
  await engine.settle()
  return mean
}

/** Closes the database; nanoseconds that it takes to open it and answer, some times over. */
async function timeOpenings() {
  await engine.close()
  const taken = []
  for (let count = 0; count < OPENS; count++) {
    const start = performance.now()
    engine = await openEngine(folder, false)
    if (engine.get(workload.keys[0]) === undefined) throw new Error('a record is gone')
    taken.push(nanoseconds(start))
    await engine.close()
  }
  engine = undefined
  return taken
}

/** What the engine takes up when its writes have settled, and it had time to do what it does by itself when nothing is written. */
async function measureSpace() {
  await engine.settle()
  await setTimeout(QUIET_MILLISECONDS)
  globalThis.gc()
  return { memory: process.memoryUsage.rss() - residentBefore, disk: bytesOn(folder) }
}

/** Blocks that files have on disk: their lengths say nothing of files with holes. */
function bytesOn(folder) {
  return readdirSync(folder, { recursive: true })
    .map((name) => statSync(path.join(folder, name)))
    .reduce((total, stats) => total + (stats.blocks === undefined ? stats.size : stats.blocks * 512), 0)
}

function summarizeLatencies() {
  const summaries = {}
  for (const [id, milliseconds] of latencies) {
    const sorted = Float64Array.from(milliseconds).sort()
    const at = (quantile) => sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))] * 1e6
    summaries[id] = { p50: at(0.5), p99: at(0.99), 'p99.9': at(0.999), max: at(1) }
  }
  return summaries
}

const requests = { fill, measure, insert, openDurably, putDurably, timeOpenings, measureSpace, summarizeLatencies }

process.on('message', async ({ request, argument }) => {
  try {
    process.send({ answer: await requests[request](argument) })
  } catch (error) {
    process.send({ error: `${engineName}, ${request}: ${error.stack}` })
  }
})
process.on('disconnect', () => process.exit())
process.send({ answer: 'ready' })
