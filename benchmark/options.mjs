// What is measured, as the command line says it.

import { parseArgs } from 'node:util'
import { ENGINES } from './engines.mjs'
import { OPERATION_IDS } from './operations.mjs'
import { KEYS_MIN, WORKLOADS } from './workload.mjs'

export const USAGE = `npm run bench -- [options]

  --sizes 20k,1M        numbers of keys, ${KEYS_MIN} at least; k and M for thousands and millions
  --workloads LIST      of ${Object.keys(WORKLOADS).join(', ')}; default: all
  --engines LIST        of ${ENGINES.join(', ')}; default: all; ${ENGINES[0]} is always among them
  --operations LIST     of ${OPERATION_IDS.join(', ')}; default: all
  --rounds 3            rounds, each of which takes every operation through all engines; a figure is their median
  --seconds 0.1         for one operation of one engine in one round
  --output docs/benchmark
                        folder for plots and results.json; none for neither`

const UNITS = { '': 1, k: 1000, M: 1_000_000 }

function parseSize(text) {
  const [, digits, unit] = /^(\d+)([kM]?)$/.exec(text) ?? []
  const size = Number(digits) * UNITS[unit]
  if (!(size >= KEYS_MIN)) throw new Error(`--sizes: whole numbers from ${KEYS_MIN}, not ${text}`)
  return size
}

function parseList(flag, text, known) {
  if (text === undefined) return known
  const wanted = text.split(',')
  const stray = wanted.find((item) => !known.includes(item))
  if (stray !== undefined) throw new Error(`--${flag}: ${known.join(', ')}, not ${stray}`)
  return known.filter((item) => wanted.includes(item))
}

/** The options of a command line; throws an Error that says what is wrong with it. */
export function parseOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      sizes: { type: 'string', default: '20k,1M' },
      workloads: { type: 'string' },
      engines: { type: 'string' },
      operations: { type: 'string' },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '0.1' },
      output: { type: 'string', default: 'docs/benchmark' },
      help: { type: 'boolean', default: false },
    },
  })
  const rounds = Number(values.rounds)
  const seconds = Number(values.seconds)
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds: a whole number from 1')
  if (!(seconds > 0)) throw new Error('--seconds: a number greater than 0')
  return {
    help: values.help,
    sizes: values.sizes.split(',').map(parseSize),
    workloads: parseList('workloads', values.workloads, Object.keys(WORKLOADS)),
    engines: parseList('engines', values.engines && `${ENGINES[0]},${values.engines}`, ENGINES),
    operations: parseList('operations', values.operations, OPERATION_IDS),
    rounds,
    seconds,
    output: values.output === 'none' ? undefined : values.output,
  }
}
