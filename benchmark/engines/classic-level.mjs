// classic-level (LevelDB), spared the compression of values that do not compress, and with a cache that holds a million
// records.

import { ClassicLevel } from 'classic-level'
import { childOf, endOf } from './range.mjs'

const CACHE_BYTES = 256 * 1024 * 1024
const PAGE_KEYS = 1000

/** @param {string} folder of the engine's own */
export async function openEngine(folder) {
  const db = new ClassicLevel(folder, { valueEncoding: 'buffer', compression: false, cacheSize: CACHE_BYTES })
  await db.open()

  /** Runs `read` on an iterator over the keys under a prefix, and closes it. */
  async function withKeys(prefix, read) {
    const iterator = db.keys({ gte: prefix, lt: endOf(prefix) })
    try {
      return await read(iterator)
    } finally {
      await iterator.close()
    }
  }

  return {
    get: (key) => db.getSync(key),
    // Quicker than its getMany, which goes to another thread.
    getMany: (keys) => keys.map((key) => db.getSync(key)),
    page: (start, limit) => db.keys({ gte: start, limit }).all(),
    children: (prefix) =>
      withKeys(prefix, async (iterator) => {
        const children = []
        for (let key = await iterator.next(); key !== undefined; key = await iterator.next()) {
          const child = childOf(key, prefix)
          children.push(child)
          iterator.seek(endOf(child))
        }
        return children
      }),
    count: (prefix) =>
      withKeys(prefix, async (iterator) => {
        let count = 0
        for (let page = await iterator.nextv(PAGE_KEYS); page.length > 0; page = await iterator.nextv(PAGE_KEYS)) {
          count += page.length
        }
        return count
      }),
    put: (key, value) => db.put(key, value),
    async putEach(records) {
      await Promise.all(records.map(([key, value]) => db.put(key, value)))
    },
    async putMany(records) {
      const batch = db.batch()
      for (const [key, value] of records) batch.put(key, value)
      await batch.write()
    },
    putDurably: (key, value) => db.put(key, value, { sync: true }),
    settle: () => db.compactRange('', '\uffff'),
    close: () => db.close(),
  }
}
