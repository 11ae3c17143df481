// Every public function called with anything at all: see fixtures/misuse.mjs. `node scripts/misuse.mjs` goes on for longer.

import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { run } from './support/command.js'
import { temporaryFolder } from './support/database.js'

const CALLS = 2000
const SEEDS = [1, 2, 3, 4]

interface Report {
  returned: number
  refused: number
  codes: Record<string, number>
  faults: string[]
}

for (const seed of SEEDS) {
  test(`calls with anything at all, of seed ${seed}, end in a result or a typed error`, async (t) => {
    const folder = path.join(await temporaryFolder(t), 'misuse')
    const program = fileURLToPath(new URL('./fixtures/misuse.mjs', import.meta.url))
    const args = ['--expose-gc', program, folder, String(seed), String(CALLS)]
    const { code, stdout, stderr } = await run(process.execPath, args)
    const last = (await readFile(path.join(folder, 'calls.log'), 'utf8')).trim().split('\n').slice(-5)
    t.true(code !== null && stdout !== '', `${stderr} behind ${last.join(', ')}`)
    const { returned, refused, codes, faults } = JSON.parse(stdout) as Report
    t.deepEqual(faults, [])
    t.is(code, 0, stderr)
    // Enough of either comes to something.
    t.true(returned > CALLS / 5 && refused > CALLS / 5, stdout)
    t.true(Object.keys(codes).length >= 4, stdout)
  })
}
