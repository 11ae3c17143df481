// Everything at once on a database of ten times its memory, for as long as one likes: `node scripts/soak-memory.mjs
// [seconds] [memory in MiB] [folder]`, by default an hour with 64 MiB in the system's folder for temporary files. Prints
// once a minute, and fails where the process takes more than the bound and 64 MiB beside what it took before, where the
// engine counts more than the bound, or where an answer is wrong.

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { open } from 'coppice'

const MIB = 1024 * 1024
const OVERHEAD_BYTES = 64 * MIB
const VALUE_BYTES = 1000
const FOLDERS = 64

const [seconds, memoryMib] = [Number(process.argv[2] ?? 3600), Number(process.argv[3] ?? 64)]
const memory = memoryMib * MIB
const keys = Math.floor((10 * memory) / VALUE_BYTES)
const folder = await mkdtemp(path.join(process.argv[4] ?? tmpdir(), 'coppice-soak-'))

let state = 88172645463325252n
/** The xorshift generator of Marsaglia (2003). */
function below(bound) {
  state ^= (state << 13n) & 0xffffffffffffffffn
  state ^= state >> 7n
  state ^= (state << 17n) & 0xffffffffffffffffn
  return Number(state % BigInt(bound))
}

const key = (number) => `folder-${number % FOLDERS}/object-${number}`

/** The values of a key tell it from all others. */
function valueFor(number, value = Buffer.alloc(VALUE_BYTES)) {
  value.fill(number).writeUInt32LE(number)
  return value
}

// What this program makes is to be collected early: by default V8 waits until there are 32 MiB, and as much in buffers.
setFlagsFromString('--semi-space-growth-factor=1')
const before = process.memoryUsage.rss()
const most = { rss: 0, used: 0 }
const done = {}
const db = open(folder, { memory, checkpoint: { journalBytes: '64MiB' } })
const tree = db.tree()

function look() {
  most.rss = Math.max(most.rss, process.memoryUsage.rss() - before)
  most.used = Math.max(most.used, db.stats().memory.used)
  assert.ok(most.used <= memory, `${most.used} bytes are counted`)
  assert.ok(most.rss <= memory + OVERHEAD_BYTES, `the process grew by ${Math.round(most.rss / MIB)} MiB`)
}

/** Checks a value; a key that was deleted has none. */
function check(found, number) {
  if (found !== undefined) assert.equal(found.readUInt32LE(), number, `${key(number)} has another's value`)
}

const operations = {
  get: () => {
    const number = below(keys)
    check(tree.get(key(number)), number)
  },
  getMany: () => {
    const numbers = Array.from({ length: 20 }, () => below(keys))
    for (const [at, found] of tree.getMany(numbers.map(key)).entries()) check(found, numbers[at])
  },
  put: () => {
    const number = below(keys)
    tree.put(key(number), valueFor(number))
  },
  putDurably: async () => {
    const number = below(keys)
    await tree.promises.put(key(number), valueFor(number))
  },
  delete: () => tree.delete(key(below(keys))),
  batch: () => {
    const batch = db.batch()
    for (let n = 0; n < 10; n++) {
      const number = below(keys)
      batch.put(tree, key(number), valueFor(number))
    }
    assert.ok(batch.commit().committed)
  },
  scan: () => {
    const gte = key(below(keys))
    for (const [found, value] of tree.entries({ gte, limit: 200 })) check(value, Number(found.split('-').pop()))
  },
  list: () => assert.equal(tree.list({ delimiter: '/' }).prefixes.length, FOLDERS),
  count: () => assert.ok(tree.count(`folder-${below(FOLDERS)}/`) > 0),
  snapshot: () => {
    const snapshot = db.snapshot()
    const number = below(keys)
    const then = snapshot.tree().get(key(number))
    tree.put(key(number), valueFor(number))
    assert.deepEqual(snapshot.tree().get(key(number)), then)
    snapshot.close()
  },
}
const names = Object.keys(operations)

try {
  // One value for all: this program's own garbage counts as well.
  const value = Buffer.alloc(VALUE_BYTES)
  for (let number = 0; number < keys; number++) {
    const shuffled = (number * 7919) % keys
    tree.put(key(shuffled), valueFor(shuffled, value))
    if (number % 1000 === 0) {
      look()
      await nextTurn()
    }
  }
  const end = Date.now() + seconds * 1000
  let next = Date.now()
  while (Date.now() < end) {
    const name = names[below(names.length)]
    await operations[name]()
    done[name] = (done[name] ?? 0) + 1
    look()
    if (Date.now() >= next) {
      next += 60_000
      console.log(`${Math.round(most.rss / MIB)} MiB more than before, ${Math.round(most.used / MIB)} counted`, done)
    }
    await nextTurn()
  }
  assert.ok(db.stats().memory.evictions > 0, 'nothing was evicted')
  console.log(
    `at most ${Math.round(most.rss / MIB)} MiB more than before, ${Math.round(most.used / MIB)} counted`,
    done,
  )
} finally {
  db.close()
  await rm(folder, { recursive: true })
}
