// Calls every public function with anything at all, from one seed after another, each in a process of its own, for so many seconds.
// Ends with the first seed that crashes, hangs, gets an answer that is no typed error, or does harm, and says how to repeat it. Runs
// against the last build.
//
//   node scripts/misuse.mjs SECONDS [FIRST_SEED]

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { run } from './lib/process.mjs'

const CALLS = 5000

const [seconds, first = String(Date.now() % 1_000_000_000)] = process.argv.slice(2)
if (!(Number(seconds) > 0 && Number(first) >= 0)) {
  console.error('usage: node scripts/misuse.mjs SECONDS [FIRST_SEED]')
  process.exit(2)
}

const end = Date.now() + Number(seconds) * 1000
let seed = Number(first)
for (; Date.now() < end; seed += 1) {
  const folder = await mkdtemp(path.join(tmpdir(), 'coppice-misuse-'))
  const args = ['--expose-gc', '__test__/fixtures/misuse.mjs', folder, String(seed), String(CALLS)]
  try {
    await run(process.execPath, args, { quiet: true })
  } catch (error) {
    console.error(`seed ${seed} fails: ${process.execPath} ${args.join(' ')}`)
    throw error
  }
  await rm(folder, { recursive: true })
}
console.log(`seeds ${first} to ${seed - 1}, ${(seed - Number(first)) * CALLS} calls: no crash, no hang, no harm`)
