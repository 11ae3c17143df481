import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import anyTest, { type TestFn } from 'ava'
import { build } from 'esbuild'
import { makeTemporaryFolder, removeFolder, root, run } from './support/command.js'
import { bareEnvironment, install, type Packed, packCheckout, readManifest, runProgram } from './support/packed.js'

/** Packed, without the addon. */
const MAX_PACKED_BYTES = 300_000

let scratch: string
let packed: Packed
let env: NodeJS.ProcessEnv
/** Where the root package and this platform's package are installed. */
let user: string
/** Where the root package is installed alone. */
let userWithoutAddon: string

const test = anyTest as TestFn

test.before(async () => {
  scratch = await makeTemporaryFolder()
  packed = await packCheckout(scratch)
  env = await bareEnvironment(scratch)
  user = await install(path.join(scratch, 'user'), [packed.rootTarball, packed.platformTarball], env)
  userWithoutAddon = await install(path.join(scratch, 'user-without-addon'), [packed.rootTarball], env)
})

test.after.always(() => removeFolder(scratch))

const USE = `
  const db = open(':memory:')
  const tree = db.tree('t', { encoding: 'utf8' })
  tree.put('a/b', 'value')
  if (tree.get('a/b') !== 'value') throw new Error('the value did not come back')
  db.close()
  try { tree.get('a/b') } catch (error) {
    if (!(error instanceof CoppiceError)) throw error
    console.log(error.code)
  }`

test('the root package is small and holds no addon', async (t) => {
  t.true((await stat(packed.rootTarball)).size <= MAX_PACKED_BYTES)
  t.deepEqual(
    packed.files
      .map((file) => file.path)
      .filter((file) => !file.startsWith('dist/'))
      .sort(),
    ['CHANGELOG.md', 'LICENSE', 'README.md', 'SECURITY.md', 'index.d.ts', 'package.json'],
  )
  t.false(packed.files.some((file) => file.path.endsWith('.node')))
})

test('no defect can be planted in the addon', async (t) => {
  const modules = path.join(user, 'node_modules')
  const [platform] = (await readdir(modules)).filter((name) => name.startsWith('coppice-'))
  const folder = path.join(modules, platform ?? '')
  const [addon] = (await readdir(folder)).filter((name) => name.endsWith('.node'))
  const bytes = await readFile(path.join(folder, addon ?? ''))
  t.true(bytes.includes('coppice'))
  t.false(bytes.includes('coppice: defects can be planted'))
})

test('the licences of what is inside are inside', async (t) => {
  const modules = path.join(user, 'node_modules')
  const bundled = await readFile(path.join(modules, 'coppice/dist/THIRD-PARTY-NOTICES.txt'), 'utf8')
  t.regex(bundled, /^cli-progress \d.*^commander \d/ms)
  const [platform] = (await readdir(modules)).filter((name) => name.startsWith('coppice-'))
  t.regex(await readFile(path.join(modules, platform ?? '', 'LICENSE'), 'utf8'), /^MIT License.*^parking_lot \d/ms)
})

test('it has a platform package for each target, and no dependency else', async (t) => {
  const manifest = await readManifest(path.join(user, 'node_modules/coppice'))
  const platforms = (await readdir(path.join(root, 'npm'))).sort()
  t.is(platforms.length, 8)
  t.deepEqual(
    manifest['optionalDependencies'],
    Object.fromEntries(platforms.map((platform) => [`coppice-${platform}`, manifest['version']])),
  )
  t.is(manifest['dependencies'], undefined)
})

test('nothing runs when it is installed', async (t) => {
  for (const name of await readdir(path.join(user, 'node_modules'))) {
    if (name.startsWith('.')) continue
    const { scripts = {} } = await readManifest(path.join(user, 'node_modules', name))
    for (const hook of ['preinstall', 'install', 'postinstall', 'prepare'])
      t.false(hook in (scripts as object), `${name}: ${hook}`)
  }
})

test('packing leaves package.json as it was', async (t) => {
  t.deepEqual(await readManifest(path.join(scratch, 'checkout')), await readManifest(root))
})

test('there is no Rust where it is used', async (t) => {
  for (const tool of ['cargo', 'rustc']) await t.throwsAsync(run(tool, ['--version'], { env }), { code: 'ENOENT' })
})

test('it works from ESM', async (t) => {
  const { stdout, stderr } = await runProgram(
    user,
    'use.mjs',
    `import { CoppiceError, open } from 'coppice'\n${USE}`,
    env,
  )
  t.is(stdout, 'ERR_COPPICE_CLOSED\n', stderr)
})

test('it works from CommonJS', async (t) => {
  const { stdout, stderr } = await runProgram(
    user,
    'use.cjs',
    `const { CoppiceError, open } = require('coppice')\n${USE}`,
    env,
  )
  t.is(stdout, 'ERR_COPPICE_CLOSED\n', stderr)
})

test('both entries are one library', async (t) => {
  const source = `
    import { createRequire } from 'node:module'
    import * as esm from 'coppice'
    const cjs = createRequire(import.meta.url)('coppice')
    const same = Object.keys(cjs).every((name) => cjs[name] === esm[name])
    console.log(same, Object.keys(cjs).length === Object.keys(esm).length)`
  const { stdout, stderr } = await runProgram(user, 'both.mjs', source, env)
  t.is(stdout, 'true true\n', stderr)
})

const TYPED_PROGRAM = `
import { CoppiceError, type Database, open, type Tree } from 'coppice'

const db: Database = open(':memory:', { durability: 'none' })
const bytes: Tree<Buffer, string | Uint8Array> = db.tree()
const version: number = bytes.put('a', 'b')
const maybe: number | undefined = bytes.put('a', 'c', { ifVersion: version })
const value: Buffer | undefined = bytes.get('a')
const records = db.tree<{ size: number }>('records', { encoding: 'json' })
for (const [key, { size }] of records.entries({ prefix: 'a/' })) console.log(key.length, size)
const raw = db.tree('raw', { keys: 'buffer' }).list({ delimiter: '/' }).prefixes[0]?.subarray(1)
console.log(maybe, value, raw)
// @ts-expect-error: a record has a size
records.put('a', {})
// @ts-expect-error: there is no such option
open(':memory:', { nope: true })
const code: string = new CoppiceError('ERR_COPPICE_CLOSED', 'closed').code
console.log(code)
db.close()
`

test('its types are known where only @types/node is installed, and no `types` are named', async (t) => {
  const folder = path.join(user, 'typed-by-default')
  await mkdir(path.join(folder, 'node_modules/@types'), { recursive: true })
  await symlink(path.join(root, 'node_modules/@types/node'), path.join(folder, 'node_modules/@types/node'))
  await writeFile(path.join(folder, 'plain.mts'), TYPED_PROGRAM)
  const compilerOptions = { module: 'nodenext', strict: true, exactOptionalPropertyTypes: true, noEmit: true }
  await writeFile(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['plain.mts'] }))
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
  const { code, stdout } = await run(process.execPath, [tsc, '-p', folder])
  t.is(code, 0, stdout)
})

for (const [format, outfile] of [
  ['cjs', 'bundled.cjs'],
  ['esm', 'bundled.mjs'],
] as const) {
  test(`it can be bundled into a program that lies elsewhere: ${format}`, async (t) => {
    const entry = path.join(user, `bundle-me-${format}.mjs`)
    // Whatever mixes the two has one library.
    const own = `import './required-${format}.cjs'\nif (globalThis.required !== open) throw new Error('there are two')`
    await writeFile(path.join(user, `required-${format}.cjs`), "globalThis.required = require('coppice').open")
    await writeFile(entry, `import { CoppiceError, open } from 'coppice'\n${own}\n${USE}`)
    const bundled = path.join(user, 'a/b/c', outfile)
    const { warnings } = await build({
      ...{ entryPoints: [entry], outfile: bundled, bundle: true, format },
      ...{ platform: 'node', logLevel: 'silent' },
    })
    t.deepEqual(warnings, [])
    const { stdout, stderr } = await run(process.execPath, [bundled], { env })
    t.is(stdout, 'ERR_COPPICE_CLOSED\n', stderr)
  })
}

for (const [moduleResolution, module, files] of [
  ['node16', 'node16', ['esm.mts', 'cjs.cts']],
  ['nodenext', 'nodenext', ['esm.mts', 'cjs.cts']],
  ['bundler', 'esnext', ['bundled.ts']],
] as const) {
  test(`a TypeScript file type-checks: ${moduleResolution}`, async (t) => {
    const folder = path.join(user, `typed-${moduleResolution}`)
    await mkdir(path.join(folder, 'node_modules/@types'), { recursive: true })
    await symlink(path.join(root, 'node_modules/@types/node'), path.join(folder, 'node_modules/@types/node'))
    for (const file of files) await writeFile(path.join(folder, file), TYPED_PROGRAM)
    const compilerOptions = {
      ...{ module, moduleResolution, target: 'es2022', lib: ['es2023', 'esnext.disposable'], types: ['node'] },
      ...{ strict: true, exactOptionalPropertyTypes: true, noEmit: true },
      // Checking everything once, the package's own typings among it, is enough.
      skipLibCheck: moduleResolution !== 'nodenext',
    }
    await writeFile(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
    const { code, stdout } = await run(process.execPath, [
      path.join(root, 'node_modules/typescript/bin/tsc'),
      '-p',
      folder,
    ])
    t.is(code, 0, stdout)
  })
}

test('its command line runs', async (t) => {
  const coppice = path.join(user, 'node_modules/.bin/coppice')
  const database = path.join(user, 'index.db')
  const indexed = await run(coppice, ['index', path.join(user, 'node_modules/coppice'), database], { env })
  t.is(indexed.code, 0, indexed.stderr)
  t.regex((await run(coppice, ['ls', database], { env })).stdout, /^dist\/\n.*^package\.json$/ms)
})

test('without the platform package, the error says which is missing and what to do', async (t) => {
  const source = `require('node:assert').throws(() => require('coppice'), (error) => { console.log(error.name, error.code, error.message); return true })`
  const { stdout, stderr } = await runProgram(userWithoutAddon, 'use.cjs', source, env)
  t.is(stderr, '')
  t.regex(stdout, /^CoppiceError ERR_COPPICE_UNSUPPORTED /)
  t.regex(stdout, new RegExp(`for ${process.platform}-${process.arch}.* is not installed`))
  t.regex(stdout, /--omit=optional/)
})

test('without the platform package, the command says so in one line, and still has --help', async (t) => {
  const coppice = path.join(userWithoutAddon, 'node_modules/.bin/coppice')
  const listed = await run(coppice, ['ls', 'index.db'], { env })
  t.is(listed.code, 1)
  t.regex(listed.stderr, /^coppice: .* is not installed.*\(ERR_COPPICE_UNSUPPORTED\)\n$/)
  t.is((await run(coppice, ['--help'], { env })).code, 0)
})

test('on a platform without a prebuilt addon, the error names it and those that have one', async (t) => {
  const source = `
    Object.defineProperty(process, 'platform', { value: 'sunos' })
    require('node:assert').throws(() => require('coppice'), (error) => { console.log(error.code, error.message); return true })`
  const { stdout, stderr } = await runProgram(user, 'elsewhere.cjs', source, env)
  t.is(stderr, '')
  t.regex(stdout, new RegExp(`^ERR_COPPICE_UNSUPPORTED There is no prebuilt addon for sunos-${process.arch}`))
  t.regex(stdout, /linux-x64-gnu.*npm run build/)
})

test('publint finds nothing', async (t) => {
  const publint = path.join(root, 'node_modules/publint/src/cli.js')
  const { code, stdout, stderr } = await run(process.execPath, [publint, packed.rootTarball, '--strict'])
  t.is(code, 0, stdout + stderr)
})

test('the types are right for every resolver', async (t) => {
  const attw = path.join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js')
  const { code, stdout, stderr } = await run(process.execPath, [attw, packed.rootTarball, '--no-color'])
  t.is(code, 0, stdout + stderr)
})
