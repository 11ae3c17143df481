import path from 'node:path'
import test from 'ava'
import { root, run } from './support/command.js'

function runBenchmark(...flags: string[]) {
  return run(process.execPath, [path.join(root, 'benchmark/run.mjs'), ...flags])
}

test('the benchmark prints a figure of each engine, and the ratios, for every operation', async (t) => {
  const { code, stdout, stderr } = await runBenchmark('--keys', '500', '--rounds', '1', '--seconds', '0.01')
  t.is(code, 0, stderr)
  const [, table = ''] = stdout.split(/^(?=ns per operation)/m)
  const [header, ...rows] = table.trimEnd().split('\n')
  t.deepEqual(header?.split(/ {2,}/), [
    'ns per operation',
    'coppice',
    'lmdb',
    'coppice : lmdb',
    'classic-level',
    'coppice : classic-level',
  ])
  t.deepEqual(
    rows.map((row) => row.split(/ {2,}/)[0]),
    [
      'get, found',
      'scan of 100 keys',
      'list of 31 children',
      'count of a sixteenth',
      'put, one by one',
      'put, 1000 at a time',
    ],
  )
  for (const row of rows) t.regex(row, /( {2,}[\d,]+)( {2,}[\d,]+ {2,}1 : [\d,.]+){2}$/)
})

test('the benchmark refuses a number of keys that it cannot work with', async (t) => {
  const { code, stderr } = await runBenchmark('--keys', 'many')
  t.is(code, 2)
  t.is(stderr, '--keys: a whole number from 160\n')
})
