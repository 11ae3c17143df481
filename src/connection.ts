/** An open database as its trees and iterators see it. */

import { DurableWrites } from './durable.js'
import { CoppiceError, errorOf } from './errors.js'
import { DOUBTFUL, type FailureData, native } from './native/binding.js'

export class Connection {
  open = true
  /** Whether the function of a transaction is running. */
  transacting = false
  /** Promises of writes. */
  readonly durable: DurableWrites
  /** What goes on; a close calls it off. */
  readonly jobs = new Set<{ cancel(): void }>()

  constructor(
    readonly path: string,
    /** Its handle in the addon, which answers ERR_COPPICE_CLOSED by itself once it is closed. */
    readonly handle: number,
  ) {
    this.durable = new DurableWrites(async () => this.resultOf(await native.persist(handle)))
  }

  /**
   * Closes it to new calls and calls off what goes on; the addon is to be asked to close it next, which waits for these
   * and for the promises of writes.
   */
  end(): void {
    this.open = false
    for (const job of this.jobs) job.cancel()
    this.durable.startNow()
  }

  /** Throws where the database was closed. For what would not ask the addon anyway. */
  requireOpen(): void {
    if (!this.open) throw errorOf({ code: 'ERR_COPPICE_CLOSED', message: '' }, this.path)
  }

  /** The result of a control call; throws where it is a failure. */
  resultOf<T>(answer: T | FailureData): T {
    return resultOf(answer, this.path)
  }

  /** The error of a hot call that answered with a negative code that it does not know itself. */
  failure(code: number): CoppiceError {
    if (code === DOUBTFUL) return new CoppiceError('ERR_COPPICE_INTERNAL', 'The addon doubts what was checked')
    const failure = native.takeFailure()
    if (failure === null) return new CoppiceError('ERR_COPPICE_INTERNAL', `The addon failed with ${code} and no reason`)
    return errorOf(failure, this.path)
  }
}

/** The result of a control call that concerns `path`; throws where it is a failure. */
export function resultOf<T>(answer: T | FailureData, path: string): T {
  if (isFailure(answer)) throw errorOf(answer, path)
  return answer
}

/** Whether a control call failed. */
export function isFailure(answer: unknown): answer is FailureData {
  return typeof answer === 'object' && answer !== null && 'code' in answer && 'message' in answer
}
