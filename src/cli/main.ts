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

/** A reader that has seen enough, as in `coppice ls db | head`, is no failure. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failure)
})

buildProgram()
  .parseAsync()
  .catch((error: unknown) => {
    process.exitCode = reportFailure(error)
  })
