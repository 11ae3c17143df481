/** The `coppice` command: arguments in, exit code out. */

import { inspect } from 'node:util'
import { CommanderError } from 'commander'
import { describeFailure, EXIT, type ExitCode, exitCodeOf } from './failure.js'
import { buildProgram } from './program.js'

function reportFailure(error: unknown): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  process.stderr.write(`${describeFailure(error)}\n`)
  if (process.env['COPPICE_DEBUG']) process.stderr.write(`${inspect(error)}\n`)
  return exitCodeOf(error)
}

/** A reader that has seen enough, as in `coppice ls db | head`, is no failure, and hides none: `coppice verify db | head`. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') process.exitCode = reportFailure(error)
  process.exit()
})
// Nobody reads what went wrong; the exit code still says it.
process.stderr.on('error', () => undefined)

buildProgram()
  .parseAsync()
  .catch((error: unknown) => {
    process.exitCode = reportFailure(error)
  })
