// Runs commands for the scripts, from the repository's root.

import { spawn } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '')

/** Puts the tools of node_modules first, so that `npx` is not needed to find them. */
const environment = {
  ...process.env,
  PATH: [path.join(root, 'node_modules/.bin'), process.env.PATH].join(path.delimiter),
}

/**
 * Runs a command, its output shown as it comes; resolves with that output, rejects where the command fails.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ env?: Record<string, string>, quiet?: boolean }} [options] `quiet` shows the output only where it fails.
 * @returns {Promise<string>}
 */
export function run(command, args, { env = {}, quiet = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...environment, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
    })
    const chunks = []
    const collect = (stream, sink) =>
      stream.on('data', (chunk) => {
        chunks.push(chunk)
        if (!quiet) sink.write(chunk)
      })
    collect(child.stdout, process.stdout)
    collect(child.stderr, process.stderr)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      const output = Buffer.concat(chunks).toString()
      if (code === 0) return resolve(output)
      if (quiet) process.stderr.write(output)
      const error = new Error(
        `${command} ${args.join(' ')} ${signal ? `was ended by ${signal}` : `exited with ${code}`}`,
      )
      reject(Object.assign(error, { output }))
    })
  })
}
