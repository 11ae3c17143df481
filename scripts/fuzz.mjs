// Builds the fuzz targets with the address sanitizer and with what the fuzzer needs to see its way, and runs each. Needs
// Linux on x86-64 or arm64, and a C++ compiler; says so where there is none, and is done.
//
//   node scripts/fuzz.mjs                          the same inputs each time, as the tests do
//   node scripts/fuzz.mjs SECONDS [TARGET...]      other inputs, each target for so long, one after the other
//   node scripts/fuzz.mjs replay TARGET FILE       one input again
//
// An input that fails is written to fuzz/artifacts/TARGET. What was found worth keeping is in fuzz/corpus/TARGET, from
// which a timed run goes on.

import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { root, run, sanitizerTriple, succeeds } from './lib/process.mjs'

/** The targets, and how many inputs the tests give each. */
const TARGETS = { validate: 100_000, agree: 5_000 }
/** Of one input; and of memory, so that a length from hostile bytes is not simply allocated. */
const LIMITS = [
  '-timeout=120',
  '-rss_limit_mb=2048',
  '-max_len=4096',
  '-len_control=10',
  '-print_final_stats=1',
  '-verbosity=0',
]

const [first, ...rest] = process.argv.slice(2)
const replays = first === 'replay'
const seconds = Number(first)
const targets = replays ? rest.slice(0, 1) : rest.length > 0 ? rest : Object.keys(TARGETS)
const isUnderstood = first === undefined || (replays ? rest.length === 2 : seconds > 0)
if (!isUnderstood || targets.some((target) => !(target in TARGETS))) {
  const names = Object.keys(TARGETS).join(', ')
  console.error(`usage: node scripts/fuzz.mjs [SECONDS [TARGET...] | replay TARGET FILE]   targets: ${names}`)
  process.exit(2)
}
const hasCompiler = await succeeds('c++', ['--version'])
if (sanitizerTriple === undefined || !hasCompiler) {
  console.log('SKIPPED: fuzzing needs Linux on x86-64 or arm64 and a C++ compiler')
  process.exit(0)
}

const env = {
  // The stable compiler has these, but does not promise to keep them.
  RUSTC_BOOTSTRAP: '1',
  RUSTFLAGS: [
    '--cfg=fuzzing',
    '-Zsanitizer=address',
    '-Cpasses=sancov-module',
    ...['level=4', 'inline-8bit-counters', 'pc-table', 'trace-compares'].map(
      (option) => `-Cllvm-args=-sanitizer-coverage-${option}`,
    ),
  ].join(' '),
}

const manifest = path.join('fuzz', 'Cargo.toml')
const build = `build --release --locked --manifest-path ${manifest} --target ${sanitizerTriple} --target-dir target/fuzz`
await run('cargo', build.split(' '), { env })
for (const target of targets) {
  const program = path.join(root, 'target/fuzz', sanitizerTriple, 'release', target)
  const [corpus, artifacts] = ['corpus', 'artifacts'].map((kind) => path.join(root, 'fuzz', kind, target))
  mkdirSync(corpus, { recursive: true })
  mkdirSync(artifacts, { recursive: true })
  const sample = [`-runs=${TARGETS[target]}`, '-seed=1']
  const timed = [`-max_total_time=${seconds}`, corpus]
  const what = first === undefined ? sample : replays ? [path.resolve(rest[1])] : timed
  await run(program, [...LIMITS, `-artifact_prefix=${artifacts}/`, ...what])
  console.log(`${target}: nothing found`)
}
