// The engines, each in its process: started, asked, ended. See benchmark/engine-process.mjs.

import { fork } from 'node:child_process'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { root, run } from '../scripts/lib/process.mjs'

/** The engine that the others are compared with comes first. */
export const ENGINES = ['coppice', 'lmdb', 'classic-level', 'better-sqlite3']

const require = createRequire(import.meta.url)
const program = fileURLToPath(new URL('engine-process.mjs', import.meta.url))

/** Builds an engine whose package is there without its addon; a build that is there is measured as it is. */
export async function buildIfMissing(name) {
  if (name === 'coppice') {
    if (!loads(() => require('coppice'))) await run(process.execPath, ['scripts/build.mjs', '--release'])
  } else if (name === 'better-sqlite3' && !loads(() => new (require('better-sqlite3'))(':memory:').close())) {
    // Its install script, which npm ci does not run: it downloads a prebuilt addon or compiles one.
    console.error('building better-sqlite3, once')
    await run('npm', ['--prefix', path.join(root, 'node_modules/better-sqlite3'), 'run', 'install'], { quiet: true })
  }
}

function loads(load) {
  try {
    load()
    return true
  } catch {
    return false
  }
}

/** An engine at work on one workload. */
export class EngineProcess {
  #child
  #settle
  #ended

  constructor(name, folder, workload, size, operationIds) {
    this.name = name
    const args = [name, path.join(folder, name), workload, String(size), operationIds.join(',')]
    this.#child = fork(program, args, { execArgv: ['--expose-gc'], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#child.on('message', (message) => this.#settle?.(message))
    this.#ended = new Promise((resolve) => {
      this.#child.on('exit', (code, signal) => {
        this.#settle?.({ error: `${name} ended with ${code ?? signal}` })
        resolve()
      })
    })
    /** Resolves when it can be asked. */
    this.ready = this.#answer()
  }

  async ask(request, argument) {
    const answer = this.#answer()
    this.#child.send({ request, argument })
    return answer
  }

  #answer() {
    return new Promise((resolve, reject) => {
      this.#settle = ({ answer, error }) => (error === undefined ? resolve(answer) : reject(new Error(error)))
    })
  }

  async end() {
    if (this.#child.connected) this.#child.disconnect()
    await this.#ended
  }
}
