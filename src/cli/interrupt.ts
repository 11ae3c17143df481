/** Ctrl-C during what can be called off: it ends cleanly, and the exit code says why. */

import { CommandFailure, EXIT } from './failure.js'

/** Runs a job with a signal that SIGINT aborts. */
export async function interruptible<T>(job: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const interrupt = (): void => controller.abort()
  process.once('SIGINT', interrupt)
  try {
    return await job(controller.signal)
  } catch (error) {
    if (controller.signal.aborted) throw new CommandFailure('interrupted', EXIT.interrupted, error)
    throw error
  } finally {
    process.off('SIGINT', interrupt)
  }
}
