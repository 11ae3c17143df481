/**
 * How the command line fails: one line on stderr, no stack trace, and an exit code that a script can tell apart.
 *
 * Loads nothing of the library, so that it can report that the library itself does not load.
 */

import type { CoppiceErrorCode } from '../index.js'

export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  notFound: 3,
  locked: 4,
  damaged: 5,
  interrupted: 130,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** A failure that the command line itself found: its message is meant for the user as it stands. */
export class CommandFailure extends Error {
  readonly exitCode: ExitCode

  constructor(message: string, exitCode: ExitCode, cause?: unknown) {
    super(message, { cause })
    this.name = 'CommandFailure'
    this.exitCode = exitCode
  }
}

const EXIT_OF_CODE: Partial<Record<CoppiceErrorCode, ExitCode>> = {
  ERR_COPPICE_INVALID_ARGUMENT: EXIT.usage,
  ERR_COPPICE_KEY_TOO_LARGE: EXIT.usage,
  ERR_COPPICE_NOT_FOUND: EXIT.notFound,
  ERR_COPPICE_LOCKED: EXIT.locked,
  ERR_COPPICE_CORRUPT: EXIT.damaged,
  ERR_COPPICE_INCOMPATIBLE_FORMAT: EXIT.damaged,
}

/** The code of an error of the library. */
function libraryCode(error: unknown): CoppiceErrorCode | undefined {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return code.startsWith('ERR_COPPICE_') ? (code as CoppiceErrorCode) : undefined
}

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommandFailure) return error.exitCode
  const code = libraryCode(error)
  return (code && EXIT_OF_CODE[code]) ?? EXIT.failure
}

/** The line that says what went wrong. */
export function describeFailure(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  const code = libraryCode(error)
  return `coppice: ${message.replaceAll('\n', ' ')}${code === undefined ? '' : ` (${code})`}`
}
