// Shows the whole of it, from a fresh checkout: builds, indexes a real directory tree into a temporary database, opens
// that again, lists, counts and reads, and says what each step took.
//
//   node scripts/demo.mjs [FOLDER]           default: /usr

import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { run, seconds } from './lib/process.mjs'

const folder = process.argv[2] ?? '/usr'
if (!existsSync(folder)) {
  console.error(`There is no ${folder} here. Name a folder to index: npm run demo -- <folder>`)
  process.exit(2)
}

const ROUNDS = 5
const GETS = 1_000_000
const LISTINGS = 20_000
const COUNTS = 100_000

function heading(text) {
  console.log(`\n── ${text}`)
}

/** Says what a step took, all in all or for each of many. */
function report(what, milliseconds, times = 1) {
  const each = milliseconds / times
  const figure =
    each < 0.001
      ? `${(each * 1e6).toFixed(0)} ns`
      : each < 1
        ? `${(each * 1e3).toFixed(1)} µs`
        : `${each.toFixed(1)} ms`
  console.log(`${what.padEnd(58)} ${figure.padStart(10)}${times > 1 ? '  each' : ''}`)
}

function timed(what, work) {
  const start = performance.now()
  const result = work()
  report(what, performance.now() - start)
  return result
}

/**
 * Runs `work` on one key after the other, `times` times in all, and reports the fastest of a few rounds: whatever else
 * the machine does only ever adds time.
 */
function timedEach(what, keys, times, work) {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now()
    for (let i = 0; i < times / ROUNDS; i++) work(keys[i % keys.length])
    best = Math.min(best, performance.now() - start)
  }
  report(what, best, times / ROUNDS)
}

/** The same keys in a fixed but scattered order, so that neighbours in the tree are not read one after the other. */
function scattered(keys) {
  let state = 42
  const shuffled = [...keys]
  for (let i = shuffled.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    const j = state % (i + 1)
    ;[shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]]
  }
  return shuffled
}

async function explore(database) {
  const { open } = await import('coppice')
  const db = timed('reopen', () => open(database, { create: false }))
  try {
    const tree = db.tree('', { keys: 'buffer' })
    const count = timed('count of everything', () => tree.count())
    const keys = timed(`scan of all ${count.toLocaleString('en-US')} keys`, () => [...tree.keys()])
    // Strings are made in the order in which they are asked for, as those of requests are: what is timed is the store's
    // memory, not that of a million old strings.
    const texts = scattered(keys)
      .map((key) => [key, String(key)])
      .filter(([key, text]) => Buffer.from(text).equals(key))
      .map(([, text]) => text)
    const folders = texts.filter((key) => key.endsWith('/'))
    timedEach('get of a stored path', texts, GETS, (key) => tree.get(key))
    timedEach('listing of one folder, at most 100 children', folders, LISTINGS, (prefix) =>
      tree.list({ prefix, delimiter: '/', limit: 100 }),
    )
    timedEach('count of one folder', folders, COUNTS, (prefix) => tree.count(prefix))
  } finally {
    timed('close', () => db.close())
  }
}

const start = performance.now()
const scratch = mkdtempSync(path.join(tmpdir(), 'coppice-demo-'))
const database = path.join(scratch, 'index.db')
const coppice = (...args) => {
  heading(`coppice ${args.join(' ')}`)
  return run(process.execPath, ['dist/cli.cjs', ...args])
}
try {
  heading('build')
  const buildStart = performance.now()
  await run(process.execPath, ['scripts/build.mjs', '--release'])
  console.log(`built in ${seconds(performance.now() - buildStart)}`)
  await coppice('index', folder, database)
  await coppice('ls', database)
  await coppice('count', database)
  await coppice('du', database)
  heading('through the API')
  await explore(database)
  console.log(`\nall of it in ${seconds(performance.now() - start)}`)
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
