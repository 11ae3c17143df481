/**
 * Finds and loads the native addon.
 *
 * Owns the mapping from the running platform to a prebuilt package and the error that says what to do where there is
 * none. Promises to load nothing but an addon of this package's own version, and never to build or download anything.
 */

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { familySync, MUSL } from 'detect-libc'
import { CoppiceError } from './errors.js'

const require = createRequire(import.meta.url)

/** Put in by the build, so that a bundle of a program finds it wherever it lies. */
declare const PACKAGE_VERSION: string

/** Every platform that a prebuilt package is published for, named as in `npm/`. */
const PREBUILT_PLATFORMS = [
  'darwin-arm64',
  'darwin-x64',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'linux-x64-gnu',
  'linux-x64-musl',
  'win32-arm64-msvc',
  'win32-x64-msvc',
]

/** The running platform in the terms of `PREBUILT_PLATFORMS`; also the suffix of the addon's file name. */
function platformName(): string {
  const platform = `${process.platform}-${process.arch}`
  if (process.platform === 'linux') return `${platform}-${familySync() === MUSL ? 'musl' : 'gnu'}`
  return process.platform === 'win32' ? `${platform}-msvc` : platform
}

function unsupported(message: string, cause?: unknown): CoppiceError {
  return new CoppiceError('ERR_COPPICE_UNSUPPORTED', message, cause === undefined ? {} : { cause })
}

/** True where the package itself is absent, as opposed to present and failing to load. */
function isMissing(error: unknown, packageName: string): boolean {
  return (
    error instanceof Error &&
    (error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND' &&
    error.message.includes(`'${packageName}`)
  )
}

function loadPackage(packageName: string, platform: string, version: string): unknown {
  let found: string
  try {
    found = (require(`${packageName}/package.json`) as { version: string }).version
  } catch (error) {
    if (!isMissing(error, packageName)) throw error
    throw unsupported(
      PREBUILT_PLATFORMS.includes(platform)
        ? `The prebuilt addon for ${platform} is not installed: package ${packageName}@${version} is missing. ` +
            'Install again without --omit=optional (--no-optional) and on the machine that runs the program, ' +
            `or add the package itself: npm install ${packageName}@${version}. In a checkout of the repository: npm run build`
        : `There is no prebuilt addon for ${platform}. Prebuilt: ${PREBUILT_PLATFORMS.join(', ')}. ` +
            'Elsewhere, build from source with Rust installed: npm ci && npm run build in a checkout of the repository',
      error,
    )
  }
  if (found !== version) {
    throw unsupported(
      `coppice ${version} needs ${packageName}@${version}, but ${found} is installed. ` +
        `Install the matching version: npm install ${packageName}@${version}`,
    )
  }
  return require(packageName)
}

/**
 * Loads the addon: the one built in this checkout, where there is one (so that what was just built is what runs), or
 * else the prebuilt package for this platform.
 *
 * Throws ERR_COPPICE_UNSUPPORTED, naming the platform, where no addon fits or the one found does not load.
 */
export function loadBinding(): unknown {
  const platform = platformName()
  const built = fileURLToPath(new URL(`../npm/${platform}/coppice.${platform}.node`, import.meta.url))
  try {
    if (existsSync(built)) return require(built)
    return loadPackage(`coppice-${platform}`, platform, PACKAGE_VERSION)
  } catch (error) {
    if (error instanceof CoppiceError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw unsupported(`The addon for ${platform} could not be loaded: ${reason}`, error)
  }
}
