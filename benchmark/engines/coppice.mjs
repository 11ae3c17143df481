// coppice with its defaults: a write that returned is visible and has survived SIGKILL; a promise that resolved, a power
// cut.

import { open } from 'coppice'

/** @param {string} folder of the engine's own */
export function openEngine(folder) {
  const db = open(folder)
  const tree = db.tree()
  return {
    get: (key) => tree.get(key),
    getMany: (keys) => tree.getMany(keys),
    page: (after, limit) => tree.list({ after, limit }).keys,
    children: (prefix) => tree.list({ prefix, delimiter: '/' }).prefixes,
    count: (prefix) => tree.count(prefix),
    put: (key, value) => tree.put(key, value),
    putEach(records) {
      for (const [key, value] of records) tree.put(key, value)
    },
    putMany: (records) => tree.putMany(records),
    putDurably: (key, value) => tree.promises.put(key, value),
    settle: () => db.checkpoint(),
    close: () => db.promises.close(),
  }
}
