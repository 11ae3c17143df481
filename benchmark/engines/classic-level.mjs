// classic-level (LevelDB), spared the compression of values that do not compress, and with a cache that holds them all.

import path from 'node:path'
import { ClassicLevel } from 'classic-level'

export const name = 'classic-level'

const CACHE_BYTES = 64 * 1024 * 1024
const PAGE_KEYS = 1000

/** The first string behind all that start with a prefix that ends in a slash: `0` comes after `/`. */
const endOf = (prefix) => `${prefix.slice(0, -1)}0`

/** @param {string} folder of the benchmark's own */
export async function openEngine(folder) {
  const db = new ClassicLevel(path.join(folder, 'classic-level'), {
    valueEncoding: 'buffer',
    compression: false,
    cacheSize: CACHE_BYTES,
  })
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
    scan: (start, limit) => db.keys({ gte: start, limit }).all(),
    list: (prefix) =>
      withKeys(prefix, async (iterator) => {
        const children = []
        for (let key = await iterator.next(); key !== undefined; key = await iterator.next()) {
          const child = key.slice(0, key.indexOf('/', prefix.length) + 1)
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
    async putEach(records) {
      await Promise.all(records.map(([key, value]) => db.put(key, value)))
    },
    async putBatch(records) {
      const batch = db.batch()
      for (const [key, value] of records) batch.put(key, value)
      await batch.write()
    },
    settle: () => db.compactRange('', '\uffff'),
    close: () => db.close(),
  }
}
