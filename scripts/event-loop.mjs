// How long the event loop is held up while records are read that are not in memory and others are written durably: by promises
// of reads, and by synchronous reads.
//
//   node scripts/event-loop.mjs [SECONDS] [MIB OF MEMORY] [FOLDER]
//
// The database is ten times as large as its memory. 64 readers and 16 writers go on at once, each with one operation at a
// time. What is read is anywhere; what is written is a log of a thousand keys, which is in memory, or anywhere too: then
// frames have to be read for it during the call, whatever the form.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import process from 'node:process'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { open } from 'coppice'

const [seconds = 10, memoryMib = 16, parent = tmpdir()] = process.argv.slice(2)
const READERS = 64
const WRITERS = 16
const VALUE_BYTES = 1000
const RESOLUTION_MS = 1
const keys = Math.round((10 * Number(memoryMib) * 2 ** 20) / VALUE_BYTES)

function key(number) {
  return `bucket-${number % 16}/folder-${number % 1009}/object-${number}`
}

function anyKey() {
  return key(Math.floor(Math.random() * keys))
}

function logKey() {
  return `log/${Math.floor(Math.random() * 1000)}`
}

/** Repeats what `operation` does until the end; how often. */
async function repeat(end, operation) {
  let count = 0
  for (; performance.now() < end; count++) await operation()
  return count
}

async function measure(db, name, read, written) {
  const { promises } = db.tree()
  const before = db.stats().memory.misses
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  const end = performance.now() + 1000 * Number(seconds)
  delay.enable()
  const value = Buffer.alloc(VALUE_BYTES)
  const readers = Array.from({ length: READERS }, () => repeat(end, () => read(anyKey())))
  const writers = Array.from({ length: WRITERS }, () => repeat(end, () => promises.put(written(), value)))
  const reads = (await Promise.all(readers)).reduce((sum, count) => sum + count)
  const writes = (await Promise.all(writers)).reduce((sum, count) => sum + count)
  delay.disable()
  const [p50, p99, max] = [delay.percentile(50), delay.percentile(99), delay.max].map((ns) =>
    Math.max(0, ns / 1e6 - RESOLUTION_MS).toFixed(2),
  )
  const rate = (count) => Math.round(count / Number(seconds))
  const misses = rate(db.stats().memory.misses - before)
  process.stdout.write(
    `${name}: delay p50 ${p50} ms, p99 ${p99} ms, max ${max} ms; ${rate(reads)} reads, ${rate(writes)} durable puts and ${misses} frames read a second\n`,
  )
}

const folder = await mkdtemp(path.join(parent, 'coppice-event-loop-'))
try {
  const db = open(path.join(folder, 'db'), { memory: `${Number(memoryMib)}MiB` })
  const names = Array.from({ length: keys }, (_, number) => key(number)).sort()
  db.tree().putMany(names.map((name) => [name, Buffer.alloc(VALUE_BYTES)]))
  await db.promises.checkpoint()
  const tree = db.tree()
  const byPromise = (name) => tree.promises.get(name)
  const synchronously = async (name) => {
    tree.get(name)
    // As a server does between one request and the next.
    await nextTurn()
  }
  await measure(db, 'promises of reads, a log', byPromise, logKey)
  await measure(db, 'synchronous reads, a log', synchronously, logKey)
  await measure(db, 'promises of reads, writes anywhere', byPromise, anyKey)
  await measure(db, 'synchronous reads, writes anywhere', synchronously, anyKey)
  db.close()
} finally {
  await rm(folder, { recursive: true })
}
