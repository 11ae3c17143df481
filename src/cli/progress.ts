/** Progress bars: on stderr, and only where that is a terminal. */

import { Presets, SingleBar } from 'cli-progress'
import type { Progress } from '../index.js'
import { printable } from './file-record.js'
import { formatCount, perSecond } from './format.js'
import { interruptible } from './interrupt.js'

/** The bar shows thousandths, since the number of paths is not known before the end. */
const STEPS = 1000
const PATH_COLUMNS = 40

/** A bar that is cleared at the end; none where stderr is no terminal. */
function barOf(format: string): SingleBar | undefined {
  if (!process.stderr.isTTY) return undefined
  const options = { format, barsize: 24, clearOnComplete: true, hideCursor: true, stream: process.stderr }
  return new SingleBar(options, Presets.shades_classic)
}

/** That of `coppice index`. */
export class IndexProgress {
  readonly #bar = barOf('{bar} {percentage}%  {paths} paths  {rate}/s  {path}')
  readonly #start = performance.now()

  constructor() {
    this.#bar?.start(STEPS, 0, { paths: '0', rate: '0', path: '' })
  }

  /** `done` is from 0 to 1. */
  update(done: number, paths: number, path: Uint8Array): void {
    const shown = printable(path).slice(1, -1)
    this.#bar?.update(Math.floor(done * STEPS), {
      paths: formatCount(paths),
      rate: formatCount(perSecond(paths, performance.now() - this.#start)),
      path: shown.length > PATH_COLUMNS ? `…${shown.slice(1 - PATH_COLUMNS)}` : shown,
    })
  }

  stop(): void {
    this.#bar?.stop()
  }
}

/** Runs a job that tells how much there is to do, behind a bar. Ctrl-C calls it off. */
export async function withProgress<T>(
  job: (options: { signal: AbortSignal; onProgress: (progress: Progress) => void }) => Promise<T>,
): Promise<T> {
  const bar = barOf('{bar} {percentage}%  {value}/{total}')
  bar?.start(1, 0)
  const onProgress = ({ done, total }: Progress): void => {
    bar?.setTotal(total)
    bar?.update(done)
  }
  try {
    return await interruptible((signal) => job({ signal, onProgress }))
  } finally {
    bar?.stop()
  }
}
