// Databases many times larger than the memory that they may use.

import path from 'node:path'
import test from 'ava'
import { open } from 'coppice'
import { root, run } from './support/command.js'
import { temporaryFolder, throwsCode } from './support/database.js'

const MIB = 1024 * 1024
const BUDGET = 4 * MIB
/** What the process may take beside the bound. */
const OVERHEAD = 64 * MIB
const KEYS = 40_000
const VALUE_BYTES = 1000

function key(n: number): string {
  return `folder-${n % 50}/object-${n}`
}

// Alone, since it looks at the memory of its process.
test.serial('memory stays within its bound while ten times as much is written and read', async (t) => {
  const folder = path.join(await temporaryFolder(t), 'db')
  const before = process.memoryUsage.rss()
  let db = open(folder, { memory: BUDGET, checkpoint: { journalBytes: '8MiB' } })
  t.teardown(() => db.close())
  let [used, rss] = [0, 0]
  const look = () => {
    used = Math.max(used, db.stats().memory.used)
    rss = Math.max(rss, process.memoryUsage.rss())
  }
  const value = Buffer.alloc(VALUE_BYTES)
  let tree = db.tree()
  for (let n = 0; n < KEYS; n++) {
    // In an order that touches all folders at once.
    const number = (n * 7919) % KEYS
    value.writeUInt32LE(number)
    tree.put(key(number), value)
    if (n % 500 === 0) look()
  }
  t.true(db.stats().memory.evictions > 0)
  db.close()
  db = open(folder, { memory: BUDGET, checkpoint: { journalBytes: '8MiB' } })
  tree = db.tree()
  for (let n = 0; n < KEYS / 4; n++) {
    const number = (n * 6007) % KEYS
    if (tree.get(key(number))?.readUInt32LE() !== number) t.fail(`${key(number)} is wrong`)
    if (n % 500 === 0) look()
  }
  let scanned = 0
  for (const found of tree.values()) {
    if (found.length !== VALUE_BYTES) t.fail('a value is not as long as it was')
    if (++scanned % 5000 === 0) look()
  }
  t.is(scanned, KEYS)
  look()
  const { memory } = db.stats()
  t.is(memory.budget, BUDGET)
  t.true(memory.misses > 0 && memory.evictions > 0 && memory.hits > 0)
  t.true(used <= BUDGET, `${used} bytes were used`)
  t.true(rss - before <= BUDGET + OVERHEAD, `the process grew by ${(rss - before) / MIB} MiB`)
})

test('memory stays within its bound while everything goes on at once', async (t) => {
  t.timeout(600_000)
  const script = path.join(root, 'scripts/soak-memory.mjs')
  const parent = await temporaryFolder(t)
  const soaked = await run(process.execPath, [script, '3', `${BUDGET / MIB}`, parent])
  t.is(soaked.code, 0, soaked.stderr)
  t.regex(soaked.stdout, /^at most \d+ MiB more than before/m)
})

test('a value and a batch that memory cannot hold are refused, and change nothing', async (t) => {
  const db = open(path.join(await temporaryFolder(t), 'db'), { memory: BUDGET })
  t.teardown(() => db.close())
  const tree = db.tree()
  throwsCode(t, () => tree.put('long', Buffer.alloc(BUDGET / 4 + 1)), 'ERR_COPPICE_VALUE_TOO_LARGE', /memory/)
  tree.put('as long as can be', Buffer.alloc(BUDGET / 4))
  const batch = db.batch()
  for (let n = 0; n < 16; n++) batch.put(tree, `half of that ${n}`, Buffer.alloc(BUDGET / 8))
  throwsCode(t, () => batch.commit(), 'ERR_COPPICE_BATCH_TOO_LARGE', /memory/)
  t.deepEqual([...tree.keys()], ['as long as can be'])
})

test('a value that was written under a larger bound can be read under a smaller one', async (t) => {
  const folder = await temporaryFolder(t)
  const values = [Buffer.alloc(10 << 20, 'a'), Buffer.alloc(3 << 20, 'b'), Buffer.alloc(16 << 20, 'c')]
  const writer = open(path.join(folder, 'db'))
  for (const [n, value] of values.entries()) writer.tree().put(`long${n}`, value)
  writer.tree().put('short', 'x')
  writer.close()
  for (const readOnly of [false, true]) {
    using db = open(path.join(folder, 'db'), { memory: '4MiB', readOnly })
    const tree = db.tree()
    for (const [n, value] of values.entries()) t.true(tree.get(`long${n}`)?.equals(value))
    const started = performance.now()
    const many = await Promise.all(values.map((_, n) => tree.promises.get(`long${n}`)))
    // They once had each of them read in a thousand times, for which there was no room.
    t.true(performance.now() - started < 30_000)
    t.true(many.every((read, n) => values[n]?.equals(read ?? Buffer.alloc(0))))
    t.deepEqual(
      [...tree.values()].map((value) => value.length),
      [10 << 20, 3 << 20, 16 << 20, 1],
    )
    t.is(String(tree.get('short')), 'x')
    if (!readOnly) tree.put('short', 'x')
    t.true(db.stats().memory.used <= 4 << 20)
  }
})

test('a volatile database has no bound', (t) => {
  using db = open(':memory:', { memory: BUDGET })
  t.is(db.stats().memory.budget, 0)
  db.tree().put('long', Buffer.alloc(2 * BUDGET))
  t.true(db.stats().memory.used > BUDGET)
})
