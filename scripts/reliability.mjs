// Runs the reliability suites for longer than the tests have time for, each from the seed behind the last one that the ledger
// has, and adds a line to docs/reliability-ledger.md for each: what was tried, and what came of it. Ends with the first
// failure, which it notes as well.
//
//   node scripts/reliability.mjs SECONDS [SUITE...]     suites by seed, each for so long, one after the other
//   node scripts/reliability.mjs rounds COUNT SUITE...  kill, power: how often a writer is ended; power wants root and ext4
//   node scripts/reliability.mjs defects                plants every defect; one line each
//
// The build is that of the tests: optimised, with assertions and overflow checks.

import { rmSync } from 'node:fs'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { DEFECTS, LEDGER, linesOf, note, revision, TOTALS } from './lib/ledger.mjs'
import { run } from './lib/process.mjs'

const BY_SEED = ['crash', 'faults', 'syncs', 'damage', 'backups', 'salvage', 'agree']
const BY_ROUND = ['kill', 'power']

/** Below these the tests run. */
const FIRST_SEEDS = {
  crash: 72,
  faults: 64,
  syncs: 10,
  damage: 48,
  backups: 30,
  salvage: 160,
  agree: 1000,
  kill: 3,
  power: 3,
}

const usage = () => {
  console.error(
    `usage: node scripts/reliability.mjs SECONDS [SUITE...] | rounds COUNT SUITE... | defects   suites: ${BY_SEED.join(', ')}; ${BY_ROUND.join(', ')}`,
  )
  process.exit(2)
}

const [first, ...rest] = process.argv.slice(2)
const isDefects = first === 'defects'
const isRounds = first === 'rounds'
const amount = Number(isRounds ? rest.shift() : first)
const suites = isDefects ? ['defects'] : rest.length > 0 || isRounds ? rest : BY_SEED
const known = isDefects ? ['defects'] : isRounds ? BY_ROUND : BY_SEED
if (suites.length === 0 || suites.some((suite) => !known.includes(suite)) || !(isDefects || amount > 0)) usage()

const quietly = { quiet: true }
const version = await revision('crates', 'Cargo.toml', 'Cargo.lock')

await run('cargo', ['build', '--locked', '-p', 'coppice-sim'])
const metadata = await run('cargo', ['metadata', '--no-deps', '--format-version', '1'], quietly)
const target = JSON.parse(metadata).target_directory
// A copy of its own: whoever builds meanwhile does not change what is run.
const program = path.join(target, `coppice-sim-${process.pid}`)
await copyFile(path.join(target, 'debug/coppice-sim'), program)
process.on('exit', () => rmSync(program))

/** The seed behind the last one that the ledger has. */
async function nextSeed(suite) {
  const ends = (await linesOf(suite)).map((cell) => Number(cell[4].split('–').at(-1)) + 1)
  return Math.max(FIRST_SEEDS[suite], ...ends)
}

/** What a program that failed has said, in one line and cut to fit a table. */
const complaint = (error) => error.message.split('\n').slice(1).join(' ').slice(0, 300)

async function runSuite(suite) {
  const seed = await nextSeed(suite)
  const args = [suite, String(seed), isRounds ? String(amount) : `${amount}s`]
  try {
    const output = (await run(program, args, quietly)).trim()
    const count = /^(\d+) seeds, /.exec(output)
    const seeds = count === null ? `${seed}` : `${seed}–${seed + Number(count[1]) - 1}`
    await note(version, suite, seeds, output.replace(/^\d+ seeds, /, ''), 'nothing lost')
    console.log(`${suite} ${seeds}: ${output}`)
  } catch (error) {
    await note(version, suite, `${seed}–`, 'until the failure', `FAILED: ${complaint(error)}`)
    throw error
  }
}

/** Puts the table of this run's defects in the place of the last one's. */
async function plantDefects() {
  const output = await run(program, ['defects'], quietly)
  const table = output.split('\n').flatMap((row) => {
    const [name, suite, seed, what] = row.split('\t')
    return what === undefined ? [] : [`| \`${name}\` | ${what} | ${suite}, ${seed} |`]
  })
  const ledger = await readFile(LEDGER, 'utf8')
  const before = ledger.slice(0, ledger.indexOf(DEFECTS) + DEFECTS.length)
  const after = ledger.slice(ledger.indexOf(TOTALS))
  const head = [
    `${table.length} at commit ${version}.`,
    '',
    '| defect | what is wrong | caught by, with seed |',
    '|---|---|---|',
  ]
  await writeFile(LEDGER, `${before}\n\n${[...head, ...table].join('\n')}\n\n${after}`)
  console.log(output.trim().split('\n').at(-1))
}

if (isDefects) await plantDefects()
else for (const suite of suites) await runSuite(suite)
