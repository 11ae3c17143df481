// Runs commands for the scripts, from the repository's root.

import { spawn } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '')

/** What to build for where a sanitizer is wanted; undefined where the compiler has none. */
export const sanitizerTriple =
  process.platform === 'linux'
    ? { x64: 'x86_64-unknown-linux-gnu', arm64: 'aarch64-unknown-linux-gnu' }[process.arch]
    : undefined

/** Puts the tools of node_modules first, so that `npx` is not needed to find them. */
const environment = {
  ...process.env,
  PATH: [path.join(root, 'node_modules/.bin'), process.env.PATH].join(path.delimiter),
}

/**
 * Runs a command; resolves with what it printed on stdout, rejects where it fails.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ quiet?: boolean, onOutput?: (text: string) => void, input?: string, env?: Record<string, string> }} [options] `quiet` shows nothing; the
 * output is part of the error where the command fails. `onOutput` gets both streams as they come; `input` is what the
 * command reads on stdin, `env` what its environment has besides.
 * @returns {Promise<string>}
 */
export function run(command, args, { quiet = false, onOutput = () => {}, input, env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...environment, ...env },
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      shell: process.platform === 'win32',
    })
    child.stdin?.end(input)
    const stdout = []
    const both = []
    const collect = (chunk, sink) => {
      both.push(chunk)
      onOutput(chunk.toString())
      if (!quiet) sink.write(chunk)
    }
    child.stdout.on('data', (chunk) => {
      stdout.push(chunk)
      collect(chunk, process.stdout)
    })
    child.stderr.on('data', (chunk) => collect(chunk, process.stderr))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(Buffer.concat(stdout).toString())
      const end = signal ? `was ended by ${signal}` : `exited with ${code}`
      const output = quiet ? `\n${Buffer.concat(both)}` : ''
      reject(new Error(`${[command, ...args].join(' ')} ${end}${output}`))
    })
  })
}

/**
 * Whether a command is there and succeeds.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @returns {Promise<boolean>}
 */
export function succeeds(command, args) {
  return run(command, args, { quiet: true }).then(
    () => true,
    () => false,
  )
}

/** Seconds with one decimal, for reports. */
export function seconds(milliseconds) {
  return `${(milliseconds / 1000).toFixed(1)} s`
}
