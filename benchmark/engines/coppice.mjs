// coppice with its defaults: a write that returned is visible and has survived SIGKILL.

import path from 'node:path'
import { open } from 'coppice'

export const name = 'coppice'

/** @param {string} folder of the benchmark's own */
export function openEngine(folder) {
  const db = open(path.join(folder, 'coppice'))
  const tree = db.tree()
  return {
    get: (key) => tree.get(key),
    scan: (start, limit) => [...tree.keys({ gte: start, limit })],
    list: (prefix) => tree.list({ prefix, delimiter: '/' }).prefixes,
    count: (prefix) => tree.count(prefix),
    putEach(records) {
      for (const [key, value] of records) tree.put(key, value)
    },
    putBatch: (records) => tree.putMany(records),
    settle: () => db.checkpoint(),
    close: () => db.promises.close(),
  }
}
