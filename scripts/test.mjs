// Builds what the tests need and runs every check of the project, each step timed. A failing check does not hide the
// others; a failing build ends the run. The last line adds up the tests of both languages.
//
//   node scripts/test.mjs [STEP...]          only these steps, by name

import { stripVTControlCharacters } from 'node:util'
import { run, seconds, succeeds } from './lib/process.mjs'

const sum = (output, pattern) => [...output.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0)
const occurrences = (output, pattern) => [...output.matchAll(pattern)].length

/** How each runner says what passed and failed. */
const counters = {
  nextest: (output) => ({
    passed: sum(output, /^\s*Summary .*?(\d+) passed/gm),
    failed: sum(output, /^\s*Summary .*?(\d+) (?:failed|timed out)/gm),
  }),
  cargo: (output) => ({
    passed: sum(output, /^test result: .*?(\d+) passed/gm),
    failed: sum(output, /^test result: .*?(\d+) failed/gm),
  }),
  ava: (output) => ({
    passed: occurrences(output, /^\s*[✔√] /gm),
    failed: occurrences(output, /^\s*[✘×] \[fail\]/gm),
  }),
}

const hasNextest = await succeeds('cargo', ['nextest', '--version'])

const rustTests = hasNextest
  ? [
      { name: 'rust-tests', command: 'cargo nextest run --workspace --locked --no-fail-fast', count: counters.nextest },
      { name: 'rust-doc-tests', command: 'cargo test --workspace --doc --locked', count: counters.cargo },
    ]
  : [{ name: 'rust-tests', command: 'cargo test --workspace --locked', count: counters.cargo }]

const steps = [
  { name: 'build', command: 'node scripts/build.mjs --release --check-types', needed: true },
  { name: 'format-and-lint', command: 'biome ci .' },
  { name: 'types', command: 'tsc --noEmit' },
  { name: 'rust-format', command: 'cargo fmt --all --check' },
  { name: 'rust-lint', command: 'cargo clippy --workspace --all-targets --locked -- -D warnings' },
  { name: 'licences', command: 'node scripts/licences.mjs' },
  ...rustTests,
  { name: 'instructions', command: 'node scripts/instructions.mjs' },
  { name: 'fuzz', command: 'node scripts/fuzz.mjs' },
  { name: 'api-tests', command: 'ava', count: counters.ava },
]

async function runStep({ name, command, count }) {
  console.log(`\n── ${name}: ${command}`)
  const [program, ...args] = command.split(' ')
  const output = []
  const start = performance.now()
  let error
  try {
    await run(program, args, { onOutput: (text) => output.push(text) })
  } catch (failure) {
    error = failure
  }
  const counts = count?.(stripVTControlCharacters(output.join(''))) ?? { passed: 0, failed: 0 }
  // A step that fails without naming a failed test still counts as one failure.
  if (error !== undefined && counts.failed === 0) counts.failed = 1
  return { name, ...counts, ok: error === undefined, ms: performance.now() - start, hasTests: count !== undefined }
}

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !steps.some((step) => step.name === name))
if (unknown.length > 0) {
  console.error(`no such step: ${unknown.join(', ')}. Steps: ${steps.map((step) => step.name).join(', ')}`)
  process.exit(2)
}

const results = []
for (const step of steps) {
  if (wanted.length > 0 && !wanted.includes(step.name)) continue
  const result = await runStep(step)
  results.push(result)
  if (step.needed && !result.ok) break
}

const total = (key) => results.reduce((all, result) => all + result[key], 0)
console.log('\n── summary')
for (const { name, ok, ms, passed, failed, hasTests } of results) {
  const tests = hasTests ? `  ${passed} passed, ${failed} failed` : ''
  console.log(`${ok ? 'ok    ' : 'FAILED'}  ${name.padEnd(16)} ${seconds(ms).padStart(8)}${tests}`)
}
console.log(`${'all'.padStart(11)} ${' '.repeat(12)} ${seconds(total('ms')).padStart(8)}\n`)
console.log(`${total('passed')} passed, ${total('failed')} failed`)
if (total('failed') > 0) process.exitCode = 1
