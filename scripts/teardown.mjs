// Runs the tests of how processes and threads end so many times over, and adds a line to docs/reliability-ledger.md. Ends with the
// first round that fails, which it notes as well. Runs against the last build.
//
//   node scripts/teardown.mjs [ROUNDS]     20 by default

import { note, revision } from './lib/ledger.mjs'
import { run } from './lib/process.mjs'

const rounds = Number(process.argv[2] ?? 20)
if (!(rounds > 0)) {
  console.error('usage: node scripts/teardown.mjs [ROUNDS]')
  process.exit(2)
}

const version = await revision('crates', 'src', 'Cargo.toml', 'Cargo.lock')
let endings = 0
for (let round = 1; round <= rounds; round += 1) {
  try {
    const output = await run('ava', ['__test__/teardown.spec.ts'], { quiet: true })
    const passed = Number(/(\d+) tests? passed/.exec(output)?.[1])
    endings += passed
    console.log(`round ${round}: ${passed} passed`)
  } catch (error) {
    const figures = `${round} rounds, ${endings} tests, until the failure`
    await note(version, 'teardown', '–', figures, `FAILED: ${error.message.slice(-300)}`)
    throw error
  }
}
await note(
  version,
  'teardown',
  '–',
  `${rounds} rounds, ${endings} tests, each of an ending in the middle of every kind of work`,
  'nothing lost',
)
