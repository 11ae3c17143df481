import { readFile } from 'node:fs/promises'
import path from 'node:path'
import test from 'ava'
import { root, run } from './support/command.js'
import { temporaryFolder } from './support/database.js'

function runBenchmark(...flags: string[]) {
  return run(process.execPath, [path.join(root, 'benchmark/run.mjs'), ...flags])
}

/** The rows of the table whose header begins with `unit`, cut into cells. */
function rowsOf(stdout: string, unit: string): string[][] {
  const part = stdout
    .trimEnd()
    .split('\n\n')
    .find((text) => text.startsWith(unit))
  return (part ?? '').split('\n').map((row) => row.trim().split(/ {2,}/))
}

const OPERATIONS = [
  'get',
  'get, absent',
  'getMany of 100',
  'list of 100 keys',
  'delimiter listing of 31',
  'count of 31',
  'put, over a value',
  'put, 1000 at a time',
  'put, a new key',
  'durable put, 256 in flight',
  'open, to the first answer',
]

test('the benchmark prints a figure of each engine, and the ratios, for every operation, and draws them', async (t) => {
  const output = await temporaryFolder(t)
  const few = [
    '--sizes',
    '500',
    '--rounds',
    '1',
    '--seconds',
    '0.01',
    '--workloads',
    'object-store',
    '--output',
    output,
  ]
  const { code, stdout, stderr } = await runBenchmark(...few, '--engines', 'lmdb,classic-level')
  t.is(code, 0, stderr)
  const [header, ...rows] = rowsOf(stdout, 'ns per operation')
  t.deepEqual(header, ['ns per operation', 'coppice', 'lmdb', '×', 'classic-level', '×'])
  t.deepEqual(
    rows.map(([operation]) => operation),
    OPERATIONS,
  )
  for (const [, ...cells] of rows) {
    t.is(cells.length, 5)
    for (const cell of cells) t.true(Number(cell.replaceAll(',', '')) > 0)
  }
  t.deepEqual(
    rowsOf(stdout, 'MiB').map(([what]) => what),
    ['MiB', 'memory', 'disk'],
  )
  t.is(rowsOf(stdout, 'ns of single calls').length, 1 + 3 * 5)
  for (const kind of ['ratios', 'latencies']) {
    const plot = await readFile(path.join(output, `object-store-496-${kind}.svg`), 'utf8')
    t.regex(plot, /^<svg .*object store, 496 keys.*<\/svg>\n$/s)
  }
  const { comparisons } = JSON.parse(await readFile(path.join(output, 'results.json'), 'utf8'))
  t.is(comparisons[0].operations.length, OPERATIONS.length)
})

test('the benchmark refuses what it cannot measure', async (t) => {
  for (const [flag, value] of [
    ['--sizes', '20k,many'],
    ['--rounds', '0'],
    ['--engines', 'redis'],
  ] as const) {
    const { code, stderr } = await runBenchmark(flag, value)
    t.is(code, 2)
    t.true(stderr.startsWith(`${flag}: `), stderr)
  }
})
