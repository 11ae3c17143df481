// better-sqlite3: one table that is its own index, prepared statements, a write-ahead log. Buffered: no sync, which a
// write survives as it does in the other engines. Durable: a sync for each commit; it has no way to share one.

import path from 'node:path'
import Database from 'better-sqlite3'
import { endOf } from './range.mjs'

const CACHE_KIB = 256 * 1024
const MAPPED_BYTES = 8 * 1024 ** 3

/** @param {string} folder of the engine's own */
export function openEngine(folder, durable) {
  const db = new Database(path.join(folder, 'kv.sqlite'))
  db.pragma('journal_mode = WAL')
  db.pragma(`synchronous = ${durable ? 'FULL' : 'OFF'}`)
  db.pragma(`cache_size = -${CACHE_KIB}`)
  db.pragma(`mmap_size = ${MAPPED_BYTES}`)
  db.exec('CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID')

  const get = db.prepare('SELECT value FROM kv WHERE key = ?').pluck()
  const page = db.prepare('SELECT key FROM kv WHERE key >= ? LIMIT ?').pluck()
  const count = db.prepare('SELECT count(*) FROM kv WHERE key >= ? AND key < ?').pluck()
  const put = db.prepare('INSERT OR REPLACE INTO kv VALUES (?, ?)')
  // Each step seeks behind the child found before it: '0' comes after '/'.
  const childAt = (bound) => `
    SELECT substr(key, 1, @length + instr(substr(key, @length + 1), '/')) FROM kv
    WHERE key >= ${bound} AND key < @end ORDER BY key LIMIT 1`
  const children = db
    .prepare(`
      WITH RECURSIVE children (child) AS (
        SELECT (${childAt('@prefix')})
        UNION ALL
        SELECT (${childAt("substr(child, 1, length(child) - 1) || '0'")}) FROM children WHERE child IS NOT NULL
      )
      SELECT child FROM children WHERE child IS NOT NULL`)
    .pluck()
  const putMany = db.transaction((records) => {
    for (const [key, value] of records) put.run(key, value)
  })

  return {
    get: (key) => get.get(key),
    getMany: (keys) => keys.map((key) => get.get(key)),
    page: (start, limit) => page.all(start, limit),
    children: (prefix) => children.all({ prefix, end: endOf(prefix), length: prefix.length }),
    count: (prefix) => count.get(prefix, endOf(prefix)),
    put: (key, value) => put.run(key, value),
    putEach(records) {
      for (const [key, value] of records) put.run(key, value)
    },
    putMany,
    putDurably: (key, value) => put.run(key, value),
    settle: () => db.pragma('wal_checkpoint(TRUNCATE)'),
    close: () => db.close(),
  }
}
