// Counts the instructions of each operation of a tree, with callgrind, and compares them with what they were: fails where
// one takes more. Times differ from run to run and machine to machine, these do not. Needs Linux and valgrind; says so
// where there is none, and is done.
//
//   node scripts/instructions.mjs             compares
//   node scripts/instructions.mjs --write     takes today's counts for what is to be compared with

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { root, run, succeeds } from './lib/process.mjs'

const SHAPES = ['object-store', 'file-system']
const KEYS = 30_000
const RECORD = path.join(root, 'crates/engine/benches/instructions.json')
/** How much more is a failure, and where another compiler made the code. */
const TOLERANCE = 0.05
const TOLERANCE_OF_ANOTHER_COMPILER = 0.25

function readArguments() {
  try {
    return parseArgs({ options: { write: { type: 'boolean', default: false } } }).values
  } catch (error) {
    console.error(`${error.message}\nusage: node scripts/instructions.mjs [--write]`)
    process.exit(2)
  }
}

const { write } = readArguments()
if (process.platform !== 'linux' || !(await succeeds('valgrind', ['--version']))) {
  console.log('SKIPPED: instructions are counted by valgrind, which is not here')
  process.exit(0)
}

/** Builds the bench; the path of the program. */
async function build() {
  const args = 'bench -p coppice-engine --bench instructions --no-run --locked --message-format=json'
  const messages = await run('cargo', args.split(' '), { quiet: true })
  const artifact = messages
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .find((message) => message.reason === 'compiler-artifact' && message.target.name === 'instructions')
  if (!artifact?.executable) throw new Error('cargo names no program of the bench')
  return artifact.executable
}

/** The instructions of each kind of operation, by name. */
async function count(program, shape) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'coppice-instructions-'))
  try {
    const args = [
      '--tool=callgrind',
      '--dump-before=instructions::part_ends',
      // The first thread's alone: what others do depends on the time.
      '--separate-threads=yes',
      `--callgrind-out-file=${path.join(folder, 'part')}`,
      program,
      shape,
      `${KEYS}`,
    ]
    const printed = await run('valgrind', args, { quiet: true })
    const operations = printed
      .trim()
      .split('\n')
      .map((line) => line.split(': '))
    const parts = readdirSync(folder).filter((name) => /^part\.\d+-01$/.test(name)).length
    if (operations.length === 0 || parts !== 2 * operations.length) {
      throw new Error(`callgrind wrote ${parts} parts of ${operations.length} operations`)
    }
    return operations.map(([name, times], index) => {
      // Every other part is what lies between two operations.
      const text = readFileSync(path.join(folder, `part.${2 * index + 2}-01`), 'utf8')
      const total = Number(/^totals: (\d+)$/m.exec(text)?.[1])
      return [name, Math.round(total / Number(times))]
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const program = await build()
const compiler = (await run('rustc', ['--version'], { quiet: true })).trim()
const counted = {}
for (const shape of SHAPES) counted[shape] = Object.fromEntries(await count(program, shape))

if (write) {
  writeFileSync(RECORD, `${JSON.stringify({ compiler, keys: KEYS, instructions: counted }, null, 2)}\n`)
  console.log(`written to ${path.relative(root, RECORD)}`)
  process.exit(0)
}

const record = JSON.parse(readFileSync(RECORD, 'utf8'))
const isSame = record.compiler === compiler
const tolerance = isSame ? TOLERANCE : TOLERANCE_OF_ANOTHER_COMPILER
if (!isSame) console.log(`what is compared with was made by ${record.compiler}, this by ${compiler}`)
const worse = []
for (const shape of SHAPES) {
  console.log(`\n${shape}, ${KEYS} keys: instructions of one operation`)
  for (const [name, now] of Object.entries(counted[shape])) {
    const then = record.instructions[shape]?.[name]
    const isWorse = !(now <= then * (1 + tolerance))
    if (isWorse) worse.push(`${shape}: ${name}`)
    const change = `${now < then ? '' : '+'}${((100 * (now - then)) / then).toFixed(1)} %`
    console.log(
      `${name.padEnd(28)} ${`${now}`.padStart(10)}  was ${`${then}`.padStart(10)}  ${change}${isWorse ? '  WORSE' : ''}`,
    )
  }
}
if (worse.length > 0) {
  console.error(
    `\nmore than ${100 * tolerance} % worse: ${worse.join('; ')}. Where that is meant, say why and --write.`,
  )
  process.exitCode = 1
}
