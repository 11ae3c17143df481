/** Progress bars: on stderr, and only where that is a terminal. */

import { Presets, SingleBar } from 'cli-progress'
import { printable } from './file-record.js'
import { formatCount, perSecond } from './format.js'

/** The bar shows thousandths, since the number of paths is not known before the end. */
const STEPS = 1000
const PATH_COLUMNS = 40

/** That of `coppice index`. */
export class IndexProgress {
  readonly #bar: SingleBar | undefined
  readonly #start = performance.now()

  constructor() {
    if (!process.stderr.isTTY) return
    this.#bar = new SingleBar(
      {
        format: '{bar} {percentage}%  {paths} paths  {rate}/s  {path}',
        barsize: 24,
        clearOnComplete: true,
        hideCursor: true,
        stream: process.stderr,
      },
      Presets.shades_classic,
    )
    this.#bar.start(STEPS, 0, { paths: '0', rate: '0', path: '' })
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

/** That of a job that tells how much there is to do. */
export class JobProgress {
  readonly #bar: SingleBar | undefined

  constructor() {
    if (!process.stderr.isTTY) return
    this.#bar = new SingleBar(
      {
        format: '{bar} {percentage}%  {value}/{total}',
        barsize: 24,
        clearOnComplete: true,
        hideCursor: true,
        stream: process.stderr,
      },
      Presets.shades_classic,
    )
    this.#bar.start(1, 0)
  }

  update({ done, total }: { done: number; total: number }): void {
    this.#bar?.setTotal(total)
    this.#bar?.update(done)
  }

  stop(): void {
    this.#bar?.stop()
  }
}
