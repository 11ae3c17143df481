/** Long jobs off the event loop, which can be watched and called off. */

import { checkOptions, describe } from './check.js'
import type { Connection } from './connection.js'
import { CoppiceError, invalid } from './errors.js'
import { type FailureData, type JobControl, native } from './native/binding.js'

/** How far a job has come. */
export interface Progress {
  done: number
  /** May grow while the job runs. */
  total: number
  unit: 'blobs' | 'bytes' | 'keys' | 'records'
}

/** What a long job may be given. */
export interface JobOptions {
  /** Calls the job off: it rejects with ERR_COPPICE_ABORTED, the signal's reason as its `cause`. */
  signal?: AbortSignal
  /** Called about ten times a second while the job runs, and once when it is done. What it throws calls the job off. */
  onProgress?: (progress: Progress) => void
}

const JOB_OPTIONS = ['signal', 'onProgress'] as const
const MILLISECONDS_BETWEEN_REPORTS = 100

function checkJobOptions(what: string, options: JobOptions | undefined): JobOptions {
  const checked = checkOptions(what, options, JOB_OPTIONS)
  const { signal, onProgress } = checked
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw invalid(`signal must be an AbortSignal, not ${describe(signal)}`)
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw invalid(`onProgress must be a function, not ${describe(onProgress)}`)
  return checked
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
  const { signal, onProgress } = checkJobOptions(`${name} options`, options)
  const aborted = (): CoppiceError =>
    new CoppiceError('ERR_COPPICE_ABORTED', `${name} of the database '${connection.path}' was aborted`, {
      cause: signal?.reason,
    })
  if (signal?.aborted) throw aborted()

  const control = new native.JobControl()
  const cancel = (): void => control.cancel()
  let thrown: { error: unknown } | undefined
  const report = (): void => {
    if (thrown !== undefined || control.total() === 0) return
    try {
      onProgress?.({ done: control.done(), total: control.total(), unit })
    } catch (error) {
      thrown = { error }
      cancel()
    }
  }
  const timer = onProgress && setInterval(report, MILLISECONDS_BETWEEN_REPORTS)
  signal?.addEventListener('abort', cancel)
  connection.jobs.add(control)
  try {
    const answer = await start(control)
    if (signal?.aborted && isAborted(answer)) throw aborted()
    // Called off, but not by the signal: by a close, unless it was by what `onProgress` threw.
    if (thrown === undefined && isAborted(answer)) connection.requireOpen()
    if (thrown === undefined) report()
    if (thrown !== undefined) throw (thrown as { error: unknown }).error
    return connection.resultOf(answer)
  } finally {
    connection.jobs.delete(control)
    signal?.removeEventListener('abort', cancel)
    clearInterval(timer)
  }
}

function isAborted(answer: unknown): boolean {
  return (answer as FailureData).code === 'ERR_COPPICE_ABORTED'
}
