// Explores schedules of threads: by loom all of them within a bound, of the primitives that readers without locks, eviction, watching
// and the reuse of places rest on; by shuttle many drawn ones, of what several threads do to the engine and to the journal. Twins
// of the models leave a step out, and must fail.
//
//   node scripts/models.mjs [SCHEDULES [SEED]]     schedules of each of the engine's, 2000 by default, from this seed on

import { run } from './lib/process.mjs'

const [schedules = '2000', seed = '0'] = process.argv.slice(2)
if (!(Number(schedules) > 0 && Number(seed) >= 0)) {
  console.error('usage: node scripts/models.mjs [SCHEDULES [SEED]]')
  process.exit(2)
}

const explorations = [
  ['loom', 'coppice-store'],
  ['loom', 'coppice-engine'],
  ['shuttle', 'coppice-journal'],
  ['shuttle', 'coppice-engine'],
]
for (const [checker, crate] of explorations) {
  const env = { RUSTFLAGS: `--cfg ${checker}`, COPPICE_SCHEDULES: schedules, COPPICE_SEED: seed, RUST_BACKTRACE: '0' }
  await run('cargo', ['test', '--locked', '-p', crate, '--lib', '--target-dir', `target/${checker}`, 'models'], { env })
}
