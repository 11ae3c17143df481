/** Runs programs as users do: in processes of their own, with what they print and how they end. */

import { type ChildProcess, fork, type SpawnOptions, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs a program to its end; an exit code other than 0 is an outcome, not an error. */
export function run(program: string, args: readonly string[], options: SpawnOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
    child.on('error', reject)
    child.on('close', (code) => {
      resolve({ code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() })
    })
  })
}

/** Starts a fixture as a process of its own that says nothing but messages. */
export function forkFixture(name: string, args: readonly string[]): ChildProcess {
  const program = fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url))
  return fork(program, args, { execArgv: [], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
}

/** Runs the built `coppice` command. */
export function coppice(args: readonly string[], options: SpawnOptions = {}): Promise<Outcome> {
  return run(process.execPath, [path.join(root, 'dist/cli.cjs'), ...args], options)
}

/** A new, empty folder. */
export function makeTemporaryFolder(): Promise<string> {
  return mkdtemp(path.join(tmpdir(), 'coppice-test-'))
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 10 })
}
