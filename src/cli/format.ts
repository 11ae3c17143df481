/** Numbers as people read them. */

const integer = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

export function formatCount(value: number): string {
  return integer.format(value)
}

/** A count and the noun that goes with it, which takes an s in the plural. */
export function formatCounted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`
}

export function formatBytes(bytes: number): string {
  let unit = 0
  let scaled = bytes
  while (scaled >= 1024 && unit < UNITS.length - 1) {
    scaled /= 1024
    unit++
  }
  return `${unit > 0 && scaled < 10 ? scaled.toFixed(1) : Math.round(scaled)} ${UNITS[unit]}`
}

export function formatDuration(milliseconds: number): string {
  return milliseconds < 1000
    ? `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`
    : `${(milliseconds / 1000).toFixed(2)} s`
}

export function formatMode(mode: number): string {
  return `0${mode.toString(8).padStart(3, '0')}`
}

/** A time in milliseconds since 1970 as ISO 8601, or in seconds, as `@` and a number, where no calendar reaches it. */
export function formatTime(milliseconds: number): string {
  const time = new Date(milliseconds)
  return Number.isNaN(time.getTime()) ? `@${Math.floor(milliseconds / 1000)}` : time.toISOString()
}

/** Operations in a second; 0 where no time passed. */
export function perSecond(count: number, milliseconds: number): number {
  return milliseconds > 0 ? Math.round((count / milliseconds) * 1000) : 0
}
