// Builds what the package ships: the addon for this machine, the JavaScript, and the rolled-up typings.
//
//   node scripts/build.mjs [--release] [--no-addon | --addon-only] [--check-types] [--target TRIPLE] [-- NAPI-FLAG...]
//
// The library is bundled as CommonJS, and the ESM entry re-exports that. So a program that mixes `import` and `require`
// still has one addon, one set of handles and one CoppiceError class. What bundlers put into other programs is ESM, for both.
//
// --check-types fails, instead of writing, where the committed index.d.ts is not what src/ gives.

import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { parseTriple } from '@napi-rs/cli'
import { generateDtsBundle } from 'dts-bundle-generator'
import { build } from 'esbuild'
import { bundledNotices, linkedNotices } from './lib/notices.mjs'
import { root, run, succeeds } from './lib/process.mjs'

const { values: flags, positionals: crossFlags } = parseArgs({
  allowPositionals: true,
  options: {
    release: { type: 'boolean', default: false },
    target: { type: 'string' },
    'addon-only': { type: 'boolean', default: false },
    'no-addon': { type: 'boolean', default: false },
    'check-types': { type: 'boolean', default: false },
  },
})

/** The triple that cargo builds for by default. */
async function hostTriple() {
  const version = await run('rustc', ['--version', '--verbose'], { quiet: true })
  return version.match(/^host: (.+)$/m)[1]
}

/**
 * Flags by which a shipped addon names no folder of the machine that built it: in what a panic says of the crates of others, theirs
 * are called `crates`. Ours are compiled by paths from the repository's root.
 */
async function namelessFolders(triple) {
  // Where they are not there yet. Whatever keeps them from coming, the build will say.
  await succeeds('cargo', ['fetch', '--locked', '--target', triple])
  const sources = path.join(process.env.CARGO_HOME ?? path.join(homedir(), '.cargo'), 'registry/src')
  // Crates that come from elsewhere, as vendored ones do, leave no such folder.
  const registries = (await readdir(sources).catch(() => [])).map((registry) => path.join(sources, registry))
  const flags = registries.map((registry) => `--remap-path-prefix=${registry}=crates`)
  // The variable has no way to quote one.
  const usable = flags.filter((flag) => !flag.includes(' '))
  return { RUSTFLAGS: [process.env.RUSTFLAGS, ...usable].filter(Boolean).join(' ') }
}

/** The addon lands in its platform's package under npm/, where src/load-binding.ts looks for it in a checkout. */
async function buildAddon() {
  const triple = flags.target ?? (await hostTriple())
  const { platformArchABI } = parseTriple(triple)
  const output = `npm/${platformArchABI}`
  const napi = [
    'build',
    '--platform',
    '--no-js',
    ...['--manifest-path', 'crates/node/Cargo.toml'],
    ...['--output-dir', output],
    ...(flags.target ? ['--target', flags.target] : []),
    ...(flags.release ? ['--release'] : []),
    ...crossFlags,
  ]
  await run('napi', napi, { env: flags.release ? await namelessFolders(triple) : {} })
  // The typings that napi writes leave out what does not go through its macros; src/native/binding.ts has it all.
  await rm(path.join(root, output, 'index.d.ts'), { force: true })
  // npm packs a file of this name whatever `files` says.
  const licence = await readFile(path.join(root, 'LICENSE'), 'utf8')
  const notices = await linkedNotices(triple)
  await writeFile(path.join(root, output, 'LICENSE'), `${licence}\nThis package also contains:\n\n${notices}`)
}

const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8'))

/** As each format says where the file lies that it is in: one of a program, where it was bundled. */
const PLACES = {
  cjs: "'use strict'\nconst importMetaUrl = require('node:url').pathToFileURL(__filename).href",
  esm: `
import { createRequire as requireFrom } from 'node:module'
import { pathToFileURL as urlOf } from 'node:url'
const importMetaUrl = typeof __filename === 'string' ? urlOf(__filename).href : import.meta.url
const require = requireFrom(importMetaUrl)`.trimStart(),
}

const shared = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'cjs',
  logLevel: 'warning',
  metafile: true,
  banner: { js: PLACES.cjs },
  define: { 'import.meta.url': 'importMetaUrl', PACKAGE_VERSION: JSON.stringify(version) },
}

/** The command line loads the library through the package's own entry instead of carrying a second copy. */
const libraryIsExternal = {
  name: 'library-is-external',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\.\/index\.js$/ }, () => ({ path: './index.cjs', external: true }))
  },
}

async function buildLibrary() {
  const entry = { ...shared, entryPoints: ['src/index.ts'] }
  const bundled = await build({ ...entry, format: 'esm', outfile: 'dist/bundled.js', banner: { js: PLACES.esm } })
  const exported = Object.values(bundled.metafile.outputs).flatMap((output) => output.exports)
  const esm = [
    "import coppice from './index.cjs'",
    '',
    `export const { ${exported.sort().join(', ')} } = coppice`,
    '',
  ].join('\n')
  await writeFile(path.join(root, 'dist/index.js'), esm)
  return build({ ...entry, outfile: 'dist/index.cjs' })
}

async function buildCommandLine() {
  return build({
    ...shared,
    entryPoints: ['src/cli/main.ts'],
    outfile: 'dist/cli.cjs',
    banner: { js: `#!/usr/bin/env node\n${PLACES.cjs}` },
    plugins: [libraryIsExternal],
  })
}

/** TypeScript 6 takes in no `@types` by itself: the reference makes Buffer and AbortSignal known where the package is used. */
const TYPINGS_HEADER = [
  '// The public surface, rolled up from src/ by scripts/build.mjs: change it there.',
  '/// <reference types="node" />',
  '\n',
].join('\n')

async function rollUpTypings() {
  const [typings] = generateDtsBundle(
    [{ filePath: path.join(root, 'src/index.ts'), output: { noBanner: true, exportReferencedTypes: false } }],
    { preferredConfigPath: path.join(root, 'tsconfig.json') },
  )
  // A module's opening comment says nothing about the declaration that happens to come first in it.
  const documented = typings.replaceAll(/\/\*\*(?:(?!\*\/).)*\*\/\n(?=\/\*\*)/gs, '').replace(/export \{\};\s*$/, '')
  return run('biome', ['format', '--stdin-file-path=index.d.ts'], { quiet: true, input: TYPINGS_HEADER + documented })
}

async function writeTypings() {
  const typings = await rollUpTypings()
  const committed = path.join(root, 'index.d.ts')
  if (flags['check-types'] && (await readFile(committed, 'utf8')) !== typings) {
    throw new Error('index.d.ts is not what src/ gives: run npm run build:js and commit it')
  }
  await writeFile(committed, typings)
  await copyFile(committed, path.join(root, 'dist/index.d.cts'))
}

async function buildScripts() {
  await rm(path.join(root, 'dist'), { recursive: true, force: true })
  await mkdir(path.join(root, 'dist'))
  const bundles = await Promise.all([buildLibrary(), buildCommandLine()])
  const notices = await bundledNotices(bundles.map((bundle) => bundle.metafile))
  await writeFile(path.join(root, 'dist/THIRD-PARTY-NOTICES.txt'), notices)
  await writeTypings()
}

if (!flags['no-addon']) await buildAddon()
if (!flags['addon-only']) await buildScripts()
