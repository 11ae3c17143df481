// Runs the engine's tests with several threads under the thread sanitizer, which reports accesses that no order was made for.
// Needs Linux on x86-64 or arm64; says so where there is none, and is done.
//
//   node scripts/sanitize.mjs [ROUNDS]     the same tests so many times; each has other schedules
//
// The standard library is not built with the sanitizer, which would take another toolchain. So it does not see what that
// library orders outside of what is compiled into the callers: scripts/thread-sanitizer.supp names those places.

import path from 'node:path'
import { root, run, sanitizerTriple } from './lib/process.mjs'

const rounds = Number(process.argv[2] ?? 1)
if (!(rounds > 0)) {
  console.error('usage: node scripts/sanitize.mjs [ROUNDS]')
  process.exit(2)
}
if (sanitizerTriple === undefined) {
  console.log('SKIPPED: the thread sanitizer needs Linux on x86-64 or arm64')
  process.exit(0)
}

const env = {
  // The stable compiler has the sanitizer, but does not promise to keep it.
  RUSTC_BOOTSTRAP: '1',
  // With the last flag, crossbeam orders by operations that the sanitizer knows, instead of by fences.
  RUSTFLAGS: '-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg crossbeam_sanitize_thread',
  TSAN_OPTIONS: `suppressions=${path.join(root, 'scripts/thread-sanitizer.supp')} halt_on_error=1`,
}
const tests = `test --locked -p coppice-engine --test threads --test snapshots --target ${sanitizerTriple} --target-dir target/tsan`
for (let round = 1; round <= rounds; round += 1) {
  await run('cargo', tests.split(' '), { env })
  console.log(`round ${round}: nothing found`)
}
