/** Checks of what callers hand over. Each throws ERR_COPPICE_INVALID_ARGUMENT, naming what was given for what. */

import { invalid } from './errors.js'

const SHOWN_CHARACTERS = 40

/** What a value is, in a few words for a message. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return describeText(value)
    case 'bigint':
      return `${value}n`
    case 'function':
      return 'a function'
    case 'object':
      return value === null ? 'null' : describeObject(value)
    default:
      return String(value)
  }
}

/** Control characters and lone surrogates are shown as escapes. */
function describeText(text: string): string {
  return text.length > SHOWN_CHARACTERS ? `${JSON.stringify(text.slice(0, SHOWN_CHARACTERS))}…` : JSON.stringify(text)
}

function describeObject(value: object): string {
  const name: unknown = value.constructor?.name
  if (Array.isArray(value)) return 'an array'
  return typeof name === 'string' && name !== '' && name !== 'Object' ? `an instance of ${name}` : 'an object'
}

/** An object of options, or none; refuses names that are not in `known`. */
export function checkOptions<T extends object>(what: string, options: T | undefined, known: readonly (keyof T)[]): T {
  if (options === undefined) return {} as T
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalid(`${what} must be an object, not ${describe(options)}`)
  }
  for (const name in options) {
    if (!(known as readonly string[]).includes(name)) {
      throw invalid(`${what} has no option '${name}'; it has ${known.join(', ')}`)
    }
  }
  return options
}

export function checkBoolean(what: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback
  if (typeof value !== 'boolean') throw invalid(`${what} must be true or false, not ${describe(value)}`)
  return value
}

export function checkOneOf<T extends string>(what: string, value: unknown, allowed: readonly T[], fallback: T): T {
  if (value === undefined) return fallback
  if (!(allowed as readonly unknown[]).includes(value)) {
    throw invalid(`${what} must be one of ${allowed.map((name) => `'${name}'`).join(', ')}, not ${describe(value)}`)
  }
  return value as T
}

/** A whole number from `least` to `most`. */
export function checkInteger(what: string, value: unknown, least: number, most: number, fallback: number): number {
  if (value === undefined) return fallback
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    const range = most >= Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
    throw invalid(`${what} must be a whole number ${range}, not ${describe(value)}`)
  }
  return value
}

/** A string without lone surrogates, which have no form in UTF-8. */
export function checkText(what: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid(`${what} must be a string, not ${describe(value)}`)
  if (!value.isWellFormed()) throw invalid(`${what} must be well-formed text, but holds a lone surrogate`)
  return value
}

export function checkSignal(signal: unknown): void {
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw invalid(`signal must be an AbortSignal, not ${describe(signal)}`)
}

/** A path of the file system. */
export function checkPath(what: string, value: unknown): string {
  const path = checkText(what, value)
  if (path === '') throw invalid(`${what} must not be empty`)
  if (path.includes('\0')) throw invalid(`${what} must not contain a NUL character`)
  return path
}

/** Stands for a database without a path. */
export const IN_MEMORY = ':memory:'

/** A path of the file system at which a database is to be made. */
export function checkDestination(value: unknown): string {
  const path = checkPath('destination', value)
  if (path === IN_MEMORY) throw invalid(`destination must be the path of a folder, not '${IN_MEMORY}'`)
  return path
}

const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
}

/** A number of bytes: a whole number, or text such as '256MiB'. */
export function checkBytes(what: string, value: unknown, least: number, fallback: number): number {
  if (value === undefined) return fallback
  const bytes = typeof value === 'string' ? parseBytes(value) : value
  if (typeof bytes !== 'number' || !Number.isSafeInteger(bytes) || bytes < least) {
    const units = Object.keys(UNIT_BYTES).filter((unit) => unit !== '')
    throw invalid(
      `${what} must be a whole number of at least ${least} bytes, or text with a unit (${units.join(', ')}) ` +
        `such as '256MiB', not ${describe(value)}`,
    )
  }
  return bytes
}

function parseBytes(text: string): number | undefined {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text) ?? []
  const scale = UNIT_BYTES[unit]
  return amount === undefined || scale === undefined ? undefined : Number(amount) * scale
}
