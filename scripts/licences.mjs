// Fails where a dependency, of the addon, the package or the tools, has no licence that the project accepts.
// Reads `cargo metadata` and package-lock.json; asks no registry.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { root, run } from './lib/process.mjs'

const ACCEPTED = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BSL-1.0',
  'BlueOak-1.0.0',
  'CC0-1.0',
  'ISC',
  'MIT',
  // libFuzzer, which only the fuzz targets use.
  'NCSA',
  // argparse, which only the test runner uses.
  'Python-2.0',
  'Unicode-3.0',
  'Unlicense',
  'Zlib',
])

/**
 * Whether an SPDX expression can be met with accepted licences alone. `/` is the old way to write OR; an exception
 * (`WITH`) only ever permits more, so it does not matter here.
 */
function isAccepted(expression) {
  const tokens = expression.replaceAll('/', ' OR ').match(/\(|\)|[^\s()]+/g) ?? []
  const parseTerm = () => {
    const token = tokens.shift()
    if (token === '(') {
      const inner = parseOr()
      tokens.shift()
      return inner
    }
    if (tokens[0] === 'WITH') tokens.splice(0, 2)
    return ACCEPTED.has(token)
  }
  const parseChain = (operator, parseOperand, combine) => {
    let result = parseOperand()
    while (tokens[0] === operator) {
      tokens.shift()
      result = combine(result, parseOperand())
    }
    return result
  }
  const parseAnd = () => parseChain('AND', parseTerm, (left, right) => left && right)
  const parseOr = () => parseChain('OR', parseAnd, (left, right) => left || right)
  return parseOr()
}

async function rustDependencies() {
  const manifests = ['Cargo.toml', path.join('fuzz', 'Cargo.toml')]
  const read = async (manifest) => {
    const options = ['--format-version', '1', '--locked', '--manifest-path', manifest]
    return JSON.parse(await run('cargo', ['metadata', ...options], { quiet: true })).packages
  }
  const packages = (await Promise.all(manifests.map(read))).flat()
  return packages.map(({ name, version, license }) => ({ name: `crate ${name} ${version}`, license }))
}

function npmDependencies() {
  const lock = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8'))
  return Object.entries(lock.packages).map(([name, { version, license }]) => ({
    name: `npm ${name || lock.name} ${version}`,
    license,
  }))
}

const dependencies = [...(await rustDependencies()), ...npmDependencies()]
const refused = dependencies.filter(({ license }) => !isAccepted(license ?? ''))
for (const { name, license } of refused) console.error(`${name}: ${license ?? 'no licence'}`)
console.log(`${dependencies.length - refused.length} dependencies with an accepted licence, ${refused.length} without`)
if (refused.length > 0) process.exitCode = 1
