// lmdb. Buffered: with the options that its documentation names for speed where nothing is synced, so that writes survive
// the process as those of the other engines do. Durable: its defaults, which sync while later transactions are written.

import { open } from 'lmdb'
import { childOf, endOf } from './range.mjs'

/** @param {string} folder of the engine's own */
export function openEngine(folder, durable) {
  const db = open({
    path: folder,
    encoding: 'binary',
    noMemInit: true,
    ...(durable ? {} : { noSync: true, useWritemap: true }),
  })

  /** One seek for each child: a range whose first key is all that is read. */
  function children(prefix) {
    const end = endOf(prefix)
    const found = []
    let start = prefix
    for (;;) {
      const [key] = db.getKeys({ start, end, limit: 1 }).asArray
      if (key === undefined) return found
      const child = childOf(key, prefix)
      found.push(child)
      start = endOf(child)
    }
  }

  return {
    // The Buffer that it returns is used again by the next get: the quickest that there is, and enough here.
    get: (key) => db.getBinaryFast(key),
    // Its own getMany is for values that must be fetched from disk first.
    getMany: (keys) => keys.map((key) => db.getBinary(key)),
    page: (start, limit) => db.getKeys({ start, limit }).asArray,
    children,
    count: (prefix) => db.getKeysCount({ start: prefix, end: endOf(prefix) }),
    put: (key, value) => db.put(key, value),
    // Puts of one turn of the event loop share a transaction, which the last one's promise waits for.
    async putEach(records) {
      let committed
      for (const [key, value] of records) committed = db.put(key, value)
      await committed
    },
    // Inside a transaction a put is done when it returns; the promise says nothing more.
    putMany(records) {
      db.transactionSync(() => {
        for (const [key, value] of records) void db.put(key, value)
      })
    },
    async putDurably(key, value) {
      await db.put(key, value)
      await db.flushed
    },
    settle: () => db.flushed,
    close: () => db.close(),
  }
}
