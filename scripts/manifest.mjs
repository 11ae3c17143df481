// Adds the platform packages to package.json's optionalDependencies while the package is packed, and takes them out
// again: `npm ci` refuses a manifest that names packages which are not published yet, and in a checkout the addon comes
// from the build anyway.
//
//   node scripts/manifest.mjs add | remove        (the prepack and postpack hooks)

import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

const readManifest = (folder) => JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))

const manifest = readManifest('.')
if (process.argv[2] === 'add') {
  const platforms = readdirSync('npm').map((platform) => readManifest(`npm/${platform}`))
  manifest.optionalDependencies = Object.fromEntries(platforms.map(({ name, version }) => [name, version]).sort())
} else {
  delete manifest.optionalDependencies
}
writeFileSync('package.json.new', `${JSON.stringify(manifest, null, 2)}\n`)
renameSync('package.json.new', 'package.json')
