// lmdb with the options that its documentation names for speed where no write is synced: writes survive the process,
// as those of the other engines do.

import path from 'node:path'
import { open } from 'lmdb'

export const name = 'lmdb'

/** The first string behind all that start with a prefix that ends in a slash: `0` comes after `/`. */
const endOf = (prefix) => `${prefix.slice(0, -1)}0`

/** @param {string} folder of the benchmark's own */
export function openEngine(folder) {
  const db = open({
    path: path.join(folder, 'lmdb'),
    encoding: 'binary',
    noSync: true,
    noMemInit: true,
    useWritemap: true,
  })

  function list(prefix) {
    const end = endOf(prefix)
    const children = []
    let start = prefix
    let found
    do {
      found = undefined
      for (const key of db.getKeys({ start, end, limit: 1 })) {
        found = key.slice(0, key.indexOf('/', prefix.length) + 1)
        children.push(found)
        start = endOf(found)
      }
    } while (found !== undefined)
    return children
  }

  return {
    // The Buffer that it returns is used again by the next get: the quickest that there is, and enough here.
    get: (key) => db.getBinaryFast(key),
    scan: (start, limit) => db.getKeys({ start, limit }).asArray,
    list,
    count: (prefix) => db.getKeysCount({ start: prefix, end: endOf(prefix) }),
    // Puts of one turn of the event loop share a transaction, which the last one's promise waits for.
    async putEach(records) {
      let committed
      for (const [key, value] of records) committed = db.put(key, value)
      await committed
    },
    // Inside a transaction a put is done when it returns; the promise says nothing more.
    putBatch(records) {
      db.transactionSync(() => {
        for (const [key, value] of records) void db.put(key, value)
      })
    },
    settle: () => db.flushed,
    close: () => db.close(),
  }
}
