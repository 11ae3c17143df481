// What is measured: generated records of an object store, and the operations on them. Knows no engine by name; the same
// number of keys always gives the same records in the same order.

const TENANTS = 16
const ALBUMS_MAX = 64
const VALUE_BYTES = 100
const SCAN_KEYS = 100
const BATCH_RECORDS = 1000

/** Keys must be enough for a scan to find its hundred behind some of them. */
export const KEYS_MIN = 10 * TENANTS

/** A source of whole numbers below a bound: mulberry32, so that every run sees the same sequence. */
function seededRandom(seed) {
  let state = seed
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
  }
}

function shuffled(items, random) {
  const result = [...items]
  for (let i = result.length - 1; i > 0; i--) {
    const j = random(i + 1)
    ;[result[i], result[j]] = [result[j], result[i]]
  }
  return result
}

/** Hands out the items one after the other, from the front again after the last. */
function cycle(items) {
  let next = 0
  return () => {
    const item = items[next]
    next = next + 1 === items.length ? 0 : next + 1
    return item
  }
}

const padded = (number, digits) => String(number).padStart(digits, '0')

function tenantPrefix(tenant) {
  return `tenant-${padded(tenant, 2)}/`
}

/** 46 bytes: tenant-07/album-23/2024-05-17/0000a3f94c21.jpg. Tenants have the same number of keys, albums nearly. */
function generateKey(index, albums, random) {
  const album = Math.floor(index / TENANTS) % albums
  const day = `2024-${padded(1 + random(12), 2)}-${padded(1 + random(28), 2)}`
  // The index makes it unique, the random part in front of it scatters the order.
  const name = `${padded(random(0x10000).toString(16), 4)}${padded(index.toString(16), 8)}`
  // join, unlike concatenation, makes a flat string, so that no engine pays for flattening it.
  return [tenantPrefix(index % TENANTS).slice(0, -1), `album-${padded(album, 2)}`, day, `${name}.jpg`].join('/')
}

/**
 * The records and operations for about `keyCount` keys: as many as give each tenant the same number.
 *
 * An operation has a `name`; `prepare(engine)` gives the function to time, which does the operation `times` times and
 * returns, or resolves to, something that `isRight` accepts.
 *
 * @param {number} keyCount at least KEYS_MIN
 */
export function createWorkload(keyCount) {
  const random = seededRandom(42)
  const keysPerTenant = Math.floor(keyCount / TENANTS)
  const albums = Math.min(ALBUMS_MAX, keysPerTenant)
  const keys = Array.from({ length: keysPerTenant * TENANTS }, (_, index) => generateKey(index, albums, random))
  const prefixes = Array.from({ length: TENANTS }, (_, tenant) => tenantPrefix(tenant))

  const randomOrder = shuffled(keys, random)
  const scanStarts = shuffled([...keys].sort().slice(0, keys.length - SCAN_KEYS), random)
  const values = Array.from({ length: 16 }, () => Buffer.from(Array.from({ length: VALUE_BYTES }, () => random(256))))

  const nextKey = cycle(randomOrder)
  const nextValue = cycle(values)
  const batches = Array.from({ length: Math.ceil(keys.length / BATCH_RECORDS) }, () =>
    Array.from({ length: BATCH_RECORDS }, () => [nextKey(), nextValue()]),
  )

  /** Calls `action` with the next of `items` each time. */
  const onEach = (items, action) => {
    const next = cycle(items)
    return () => action(next())
  }

  return {
    keys,
    batches,
    keyBytes: keys[0].length,
    valueBytes: VALUE_BYTES,
    operations: [
      {
        name: 'get, found',
        times: 1,
        prepare: (engine) => onEach(randomOrder, (key) => engine.get(key)),
        isRight: (value) => value.length === VALUE_BYTES,
      },
      {
        name: `scan of ${SCAN_KEYS} keys`,
        times: 1,
        prepare: (engine) => onEach(scanStarts, (start) => engine.scan(start, SCAN_KEYS)),
        isRight: (found) => found.length === SCAN_KEYS && found.every((key) => key.length === keys[0].length),
      },
      {
        name: `list of ${albums} children`,
        times: 1,
        prepare: (engine) => onEach(prefixes, (prefix) => engine.list(prefix)),
        isRight: (children) => children.length === albums && children.every((child) => child.endsWith('/')),
      },
      {
        name: 'count of a sixteenth',
        times: 1,
        prepare: (engine) => onEach(prefixes, (prefix) => engine.count(prefix)),
        isRight: (count) => count === keysPerTenant,
      },
      {
        name: 'put, one by one',
        times: BATCH_RECORDS,
        prepare: (engine) => onEach(batches, (batch) => engine.putEach(batch)),
        isRight: () => true,
      },
      {
        name: `put, ${BATCH_RECORDS} at a time`,
        times: BATCH_RECORDS,
        prepare: (engine) => onEach(batches, (batch) => engine.putBatch(batch)),
        isRight: () => true,
      },
    ],
  }
}
