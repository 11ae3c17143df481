/** Long jobs off the event loop, which can be watched and called off. */

import { checkOptions, checkSignal, describe } from './check.js'
import { type Connection, isFailure } from './connection.js'
import { aborted, invalid } from './errors.js'
import { type FailureData, type JobControl, native, type ProgressSource } from './native/binding.js'

/** How far a job has come. */
export interface Progress {
  done: number
  /** May change while the job runs. 0 at the end of one that had nothing to do. */
  total: number
  unit: 'blobs' | 'bytes' | 'keys' | 'records'
}

/** What a long job may be given. */
export interface JobOptions {
  /** Calls the job off: it rejects with ERR_COPPICE_ABORTED, the signal's reason as its `cause`. */
  signal?: AbortSignal
  /**
   * Called about ten times a second while the job runs, and once when it is done: with as much done as there is in all, which
   * is 0 of 0 where there was nothing to do. What it throws calls the job off.
   */
  onProgress?: (progress: Progress) => void
}

export const JOB_OPTIONS = ['signal', 'onProgress'] as const
const MILLISECONDS_BETWEEN_REPORTS = 100

/** Throws where one of these cannot be what it must be. */
export function checkJobOptions({ signal, onProgress }: JobOptions): void {
  checkSignal(signal)
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw invalid(`onProgress must be a function, not ${describe(onProgress)}`)
}

/** Tells a caller's function how far something is, until it throws or nothing more is to be told. */
export class Reports {
  readonly #source: ProgressSource
  readonly #unit: Progress['unit']
  readonly #onProgress: JobOptions['onProgress']
  readonly #onThrow: (error: unknown) => void
  readonly #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(
    source: ProgressSource,
    unit: Progress['unit'],
    onProgress: JobOptions['onProgress'],
    onThrow: (error: unknown) => void,
  ) {
    this.#source = source
    this.#unit = unit
    this.#onProgress = onProgress
    this.#onThrow = onThrow
    this.#timer = onProgress && setInterval(() => this.report(), MILLISECONDS_BETWEEN_REPORTS)
  }

  /** Tells how far it is now, unless it has not begun. */
  report(): void {
    if (this.#source.total() > 0) this.reportEnd()
  }

  /** Tells how far it is at its end, also where there was nothing to do. */
  reportEnd(): void {
    if (this.#stopped) return
    const total = this.#source.total()
    try {
      this.#onProgress?.({ done: this.#source.done(), total, unit: this.#unit })
    } catch (error) {
      this.stop()
      this.#onThrow(error)
    }
  }

  stop(): void {
    this.#stopped = true
    clearInterval(this.#timer)
  }
}

/** Runs a job to its end, until `signal` or what `onProgress` throws calls it off; `what` it is, for messages. */
export async function runControlled<T>(
  what: string,
  unit: Progress['unit'],
  { signal, onProgress }: JobOptions,
  control: JobControl,
  start: (control: JobControl) => Promise<T | FailureData>,
): Promise<T | FailureData> {
  if (signal?.aborted) throw aborted(what, signal)
  const cancel = (): void => control.cancel()
  let thrown: { error: unknown } | undefined
  const reports = new Reports(control, unit, onProgress, (error) => {
    thrown = { error }
    cancel()
  })
  signal?.addEventListener('abort', cancel)
  try {
    const answer = await start(control)
    if (signal?.aborted && isAborted(answer)) throw aborted(what, signal)
    if (!isFailure(answer)) reports.reportEnd()
    if (thrown !== undefined) throw (thrown as { error: unknown }).error
    return answer
  } finally {
    signal?.removeEventListener('abort', cancel)
    reports.stop()
  }
}

/** Runs a job on an open database to its end. A close of the database calls it off. */
export async function runJob<T>(
  connection: Connection,
  name: string,
  unit: Progress['unit'],
  options: JobOptions | undefined,
  start: (control: JobControl) => Promise<T | FailureData>,
): Promise<T> {
  connection.requireOpen()
  const checked = checkOptions(`${name} options`, options, JOB_OPTIONS)
  checkJobOptions(checked)
  const control = new native.JobControl()
  connection.jobs.add(control)
  try {
    const answer = await runControlled(`${name} of the database '${connection.path}'`, unit, checked, control, start)
    // Called off, and by none of the two: by a close.
    if (isAborted(answer)) connection.requireOpen()
    return connection.resultOf(answer)
  } finally {
    connection.jobs.delete(control)
  }
}

function isAborted(answer: unknown): boolean {
  return (answer as FailureData).code === 'ERR_COPPICE_ABORTED'
}
