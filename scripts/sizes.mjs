// Measures what operations cost in memory as a tree grows, for keys of several shapes, and draws it: docs/benchmark/sizes.svg,
// figures beside it. Takes a quarter of an hour and 6 GiB of memory for 10,000,000 keys.
//
//   node scripts/sizes.mjs [KEYS [SHAPE...]]

import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { drawSizes } from '../benchmark/report/plots.mjs'
import { root, run } from './lib/process.mjs'

const bench = 'bench -p coppice-engine --bench sizes --locked --'
const lines = await run('cargo', [...bench.split(' '), ...process.argv.slice(2)])
const figures = lines
  .trim()
  .split('\n')
  .map((line) => line.split('\t'))
  .map(([shape, keys, operation, nanoseconds, chases]) => ({
    shape,
    keys: Number(keys),
    operation,
    nanoseconds: Number(nanoseconds),
    chases: Number(chases),
  }))
const folder = path.join(root, 'docs/benchmark')
writeFileSync(path.join(folder, 'sizes.tsv'), lines)
writeFileSync(path.join(folder, 'sizes.svg'), drawSizes(figures))
