// What reads leave behind in JavaScript's memory.

import { setTimeout as pause } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import { volatile } from './support/database.js'

const GETS = 10_000_000
const KEYS = 1000
/** A tenth of a byte for each get. */
const ALLOWED = GETS / 10

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** What is in use once nothing is left to be freed. */
async function inUse() {
  for (let round = 0; round < 5; round++) {
    collect()
    await pause(50)
  }
  const { heapUsed, arrayBuffers, external } = process.memoryUsage()
  return { heapUsed, arrayBuffers, external }
}

test('ten million gets leave nothing on the heap', async (t) => {
  const db = volatile(t)
  const [bytes, text] = [db.tree('bytes'), db.tree('text', { encoding: 'utf8' })]
  const keys = Array.from({ length: KEYS }, (_, index) => `bucket/dir-${index % 7}/file-${index}`)
  for (const key of keys) {
    bytes.put(key, Buffer.alloc(100, 1))
    text.put(key, 'x'.repeat(100))
  }
  let read = 0
  const get = (count: number) => {
    for (let left = count; left > 0; left -= 5 * KEYS) {
      for (const key of keys) {
        for (let round = 0; round < 4; round++) read += bytes.get(key)?.length ?? 0
        read += text.get(key)?.length ?? 0
      }
    }
  }
  get(GETS / 20)
  const before = await inUse()
  read = 0
  get(GETS)
  t.is(read, GETS * 100)
  const after = await inUse()
  for (const part of ['heapUsed', 'arrayBuffers', 'external'] as const) {
    const grown = after[part] - before[part]
    t.true(grown < ALLOWED, `${part} has grown by ${grown} bytes`)
    t.log(`${part}: ${grown} bytes more`)
  }
})
