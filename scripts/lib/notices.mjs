// The licences of what is shipped inside the packages: JavaScript that was bundled, crates that were linked.

import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { root, run } from './process.mjs'

/** Where a dependency may be had under several licences, the shortest of the common texts is the one passed on. */
const PREFERRED = [/^licen[cs]e-mit/i, /^licen[cs]e(\.|$)/i, /^licen[cs]e/i, /^copying/i]

async function licenceText(folder) {
  const entries = await readdir(folder)
  const file = PREFERRED.map((pattern) => entries.find((entry) => pattern.test(entry))).find(Boolean)
  return file && (await readFile(path.join(folder, file), 'utf8')).trim()
}

/** One text out of dependencies, each with `name`, `version`, `license`, `repository` and the `folder` it lies in. */
async function joinNotices(dependencies) {
  const notices = dependencies
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(async ({ name, version, license, repository, folder }) => {
      const text = (await licenceText(folder)) ?? `It comes without a copy of its licence; see ${repository}`
      return `${name} ${version} (${license})\n\n${text}\n`
    })
  return (await Promise.all(notices)).join(`\n${'-'.repeat(80)}\n\n`)
}

/**
 * Notices for what esbuild put into its outputs.
 *
 * @param {readonly import('esbuild').Metafile[]} metafiles
 * @returns {Promise<string>}
 */
export async function bundledNotices(metafiles) {
  const inputs = metafiles.flatMap((metafile) => Object.keys(metafile.inputs))
  const names = new Set(inputs.flatMap((input) => input.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1] ?? []))
  const dependencies = [...names].map(async (name) => {
    const folder = path.join(root, 'node_modules', name)
    const { version, license, homepage } = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'))
    return { name, version, license, repository: homepage, folder }
  })
  return joinNotices(await Promise.all(dependencies))
}

const isProcMacro = ({ targets }) => targets.some(({ kind }) => kind.includes('proc-macro'))

/**
 * Notices for the crates that are linked into the addon for one target.
 *
 * @param {string} triple
 * @returns {Promise<string>}
 */
export async function linkedNotices(triple) {
  const args = ['metadata', '--format-version', '1', '--locked', '--filter-platform', triple]
  const { packages, resolve } = JSON.parse(await run('cargo', args, { quiet: true }))
  const packageOf = new Map(packages.map((crate) => [crate.id, crate]))
  const dependenciesOf = new Map(resolve.nodes.map((node) => [node.id, node.deps]))
  const linked = new Set(packages.filter(({ name }) => name === 'coppice-node').map(({ id }) => id))
  // A set takes what is added while it is walked.
  for (const id of linked) {
    for (const { pkg, dep_kinds: kinds } of dependenciesOf.get(id)) {
      if (kinds.some(({ kind }) => kind === null) && !isProcMacro(packageOf.get(pkg))) linked.add(pkg)
    }
  }
  const foreign = [...linked].map((id) => packageOf.get(id)).filter(({ source }) => source !== null)
  return joinNotices(foreign.map((crate) => ({ ...crate, folder: path.dirname(crate.manifest_path) })))
}
