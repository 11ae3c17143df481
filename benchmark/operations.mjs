// What is measured. An operation says how to make the function that is timed, which does it `times` times, and how the
// answers of engines are told apart.

import { createHash } from 'node:crypto'
import { cycle } from './workload.mjs'

const PAGE_KEYS = 100
const MANY_KEYS = 100
const BATCH_RECORDS = 1000
const CHECKED_CALLS = 50
const OVERWRITTEN_MAX = 200_000

/** Lists of `length` items, one behind the other. */
function chunks(items, length) {
  const count = Math.max(1, Math.floor(items.length / length))
  return Array.from({ length: count }, (_, chunk) => items.slice(chunk * length, (chunk + 1) * length))
}

const onEach = (items, action) => {
  const next = cycle(items)
  return () => action(next())
}

/**
 * Records over keys that are there, `count` at a time, for two passes: no record is put twice over with the same value, since
 * SQLite would not write it.
 */
function overwrites({ keys, values }, count) {
  const some = keys.slice(0, Math.max(count, OVERWRITTEN_MAX))
  const pass = (shift) => some.map((key, at) => [key, values[(at + shift) % values.length]])
  return [0, 1].flatMap((shift) => chunks(pass(shift), count))
}

/**
 * Operations that leave the records as they are, or put others in their place. `prepare(engine, workload)` gives the
 * function to time; `latency`, where there is one, that whose single calls are timed.
 */
const REPEATED = [
  {
    id: 'get',
    title: () => 'get',
    prepare: (engine, { keys }) => onEach(keys, engine.get),
    latency: (engine, { keys }) => onEach(keys, engine.get),
  },
  {
    id: 'get-absent',
    title: () => 'get, absent',
    prepare: (engine, { absentKeys }) => onEach(absentKeys, engine.get),
  },
  {
    id: 'get-many',
    title: () => `getMany of ${MANY_KEYS}`,
    prepare: (engine, { keys }) => onEach(chunks(keys, MANY_KEYS), engine.getMany),
  },
  {
    id: 'page',
    title: () => `list of ${PAGE_KEYS} keys`,
    prepare: (engine, { pageStarts }) => onEach(pageStarts, (start) => engine.page(start, PAGE_KEYS)),
    latency: (engine, { pageStarts }) => onEach(pageStarts, (start) => engine.page(start, PAGE_KEYS)),
  },
  {
    id: 'list',
    title: ({ children }) => `delimiter listing of ${children}`,
    isIn: ({ children }) => children > 0,
    prepare: (engine, { prefixes }) => onEach(prefixes, engine.children),
    latency: (engine, { prefixes }) => onEach(prefixes, engine.children),
  },
  {
    id: 'count',
    title: ({ keyCount }) => `count of ${Math.round(keyCount / 16).toLocaleString('en-US')}`,
    prepare: (engine, { prefixes }) => onEach(prefixes, engine.count),
  },
  {
    id: 'put',
    title: () => 'put, over a value',
    times: BATCH_RECORDS,
    writes: true,
    prepare: (engine, workload) => onEach(overwrites(workload, BATCH_RECORDS), engine.putEach),
    latency: (engine, workload) => onEach(overwrites(workload, 1), ([[key, value]]) => engine.put(key, value)),
  },
  {
    id: 'put-many',
    title: () => `put, ${BATCH_RECORDS} at a time`,
    times: BATCH_RECORDS,
    writes: true,
    prepare: (engine, workload) => onEach(overwrites(workload, BATCH_RECORDS), engine.putMany),
  },
]

/** Timed as a whole, once a round, since it cannot be repeated: as many new records for each engine. */
const INSERT = { id: 'insert', title: () => 'put, a new key', writes: true }
/** On a database that is open for writes that survive a power cut. */
const DURABLE_PUT = { id: 'durable-put', title: () => 'durable put, 256 in flight', durable: true }
/** Of the database as it was closed, to the first answer. */
const OPEN = { id: 'open', title: () => 'open, to the first answer' }

/** In the order in which they are measured. */
export const OPERATIONS = [...REPEATED, INSERT, DURABLE_PUT, OPEN]
export const OPERATION_IDS = OPERATIONS.map(({ id }) => id)

/** Those of `ids` that make sense for a workload. */
export const operationsOf = (workload, ids) =>
  OPERATIONS.filter(({ id, isIn }) => ids.includes(id) && (isIn === undefined || isIn(workload)))

/** A digest of what an engine answers to some calls of an operation that reads; the same for every engine. */
export async function digestOf(operation, engine, workload) {
  const call = operation.prepare(engine, workload)
  const hash = createHash('sha256')
  const add = (answer) => {
    // lmdb's Buffer is longer than its `length` says, and used again by the next call.
    if (Buffer.isBuffer(answer)) hash.update(`${answer.length}:`).update(answer.subarray(0, answer.length))
    else if (Array.isArray(answer)) {
      hash.update(`[${answer.length}]`)
      for (const item of answer) add(item)
    } else hash.update(`${answer};`)
  }
  for (let count = 0; count < CHECKED_CALLS; count++) add(await call())
  return hash.digest('hex')
}

/** Whether an operation's answers can be compared. */
export const reads = (operation) => operation.prepare !== undefined && !operation.writes
