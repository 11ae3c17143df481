/**
 * Packs the package as a release does and installs it as a user does: from tarballs, without the network, in an empty
 * folder, on a PATH that holds node and nothing else.
 */

import { cp, mkdir, readdir, readFile, realpath, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { type Outcome, root, run } from './command.js'

/** What `npm pack` reads, besides what was built. */
const PACK_INPUTS = [
  'CHANGELOG.md',
  'LICENSE',
  'README.md',
  'SECURITY.md',
  'dist',
  'index.d.ts',
  'npm',
  'package.json',
  'scripts',
]

export interface Packed {
  /** Tarball of the root package. */
  rootTarball: string
  /** Tarball of the package with this platform's addon. */
  platformTarball: string
  /** What ends up in the root package. */
  files: { path: string; size: number }[]
}

async function npm(args: readonly string[], cwd: string, env = process.env): Promise<string> {
  const beside = path.join(path.dirname(await realpath(process.execPath)), '../lib/node_modules/npm/bin/npm-cli.js')
  const { code, stdout, stderr } = await run(process.execPath, [process.env['npm_execpath'] ?? beside, ...args], {
    cwd,
    env,
  })
  if (code !== 0) throw new Error(`npm ${args.join(' ')} exited with ${code}: ${stderr}`)
  return stdout
}

interface PackReport {
  filename: string
  files: { path: string; size: number }[]
}

async function pack(folder: string, destination: string): Promise<PackReport> {
  const output = await npm(['pack', '--json', '--foreground-scripts=false', '--pack-destination', destination], folder)
  const [report] = JSON.parse(output.slice(output.indexOf('['))) as PackReport[]
  if (report === undefined) throw new Error(`npm pack said nothing: ${output}`)
  return report
}

/** The one folder under npm/ that holds an addon: the platform that this checkout was built for. */
async function builtPlatform(): Promise<string> {
  for (const platform of await readdir(path.join(root, 'npm'))) {
    const files = await readdir(path.join(root, 'npm', platform))
    if (files.some((file) => file.endsWith('.node'))) return platform
  }
  throw new Error('no addon was built: npm run build')
}

/** Packs a copy of the checkout, so that its own package.json is never the one that packing changes for a moment. */
export async function packCheckout(folder: string): Promise<Packed> {
  const checkout = path.join(folder, 'checkout')
  await mkdir(checkout)
  for (const input of PACK_INPUTS) await cp(path.join(root, input), path.join(checkout, input), { recursive: true })
  const rootReport = await pack(checkout, folder)
  const platformReport = await pack(path.join(checkout, 'npm', await builtPlatform()), folder)
  return {
    rootTarball: path.join(folder, rootReport.filename),
    platformTarball: path.join(folder, platformReport.filename),
    files: rootReport.files,
  }
}

/** An environment whose PATH holds node alone: no cargo, no compiler, no npm. */
export async function bareEnvironment(folder: string): Promise<NodeJS.ProcessEnv> {
  const bin = path.join(folder, 'bin')
  await mkdir(bin)
  await symlink(process.execPath, path.join(bin, path.basename(process.execPath)))
  return { PATH: bin, HOME: folder }
}

/** Installs tarballs into a new folder. */
export async function install(folder: string, tarballs: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  await mkdir(folder)
  await writeFile(path.join(folder, 'package.json'), '{ "name": "user", "private": true }')
  const cache = path.join(folder, '.npm-cache')
  await npm(['install', '--offline', '--no-audit', '--no-fund', '--cache', cache, ...tarballs], folder, env)
  return folder
}

/** Runs a program of the user's, written into the folder. */
export async function runProgram(
  folder: string,
  name: string,
  source: string,
  env: NodeJS.ProcessEnv,
): Promise<Outcome> {
  await writeFile(path.join(folder, name), source)
  return run(process.execPath, [name], { cwd: folder, env })
}

export async function readManifest(folder: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8')) as Record<string, unknown>
}
