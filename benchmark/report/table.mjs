// Figures as text: each engine's, and how many times the first one's they are.

const wholeNumber = (number) => Math.round(number).toLocaleString('en-US')
const ratio = (number) => number.toLocaleString('en-US', { maximumSignificantDigits: 3 })
const mebibytes = (bytes) => (bytes / 1024 ** 2).toLocaleString('en-US', { maximumFractionDigits: 1 })

/** One row: a figure of the first engine, then a figure and a ratio of each other. */
function compareRow(label, figures, [own, ...peers], format = wholeNumber) {
  const cells = peers.flatMap((peer) => [format(figures[peer]), ratio(figures[peer] / figures[own])])
  return [label, format(figures[own]), ...cells]
}

const compareHeader = (unit, [own, ...peers]) => [unit, own, ...peers.flatMap((peer) => [peer, '×'])]

function align(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  return rows
    .map((row) => row.map((cell, at) => (at === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[at]))).join('   '))
    .join('\n')
}

/** The tables of one workload of one size. */
export function formatComparison({ title, keys, keyBytes, valueBytes, operations, space }, engines) {
  const times = operations.map(({ title, medians }) => compareRow(title, medians, engines))
  const spaceOf = (kind) => Object.fromEntries(engines.map((name) => [name, space[name][kind]]))
  const latencies = operations.flatMap(({ title, latencies }) =>
    engines
      .filter((name) => latencies[name] !== undefined)
      .map((name) => [`${title}: ${name}`, ...Object.values(latencies[name]).map(wholeNumber)]),
  )
  const parts = [
    `${title}: ${wholeNumber(keys)} keys of ${keyBytes} bytes, values of ${valueBytes}`,
    align([compareHeader('ns per operation', engines), ...times]),
    align([
      compareHeader('MiB', engines),
      compareRow('memory', spaceOf('memory'), engines, mebibytes),
      compareRow('disk', spaceOf('disk'), engines, mebibytes),
    ]),
  ]
  if (latencies.length > 0) parts.push(align([['ns of single calls', 'p50', 'p99', 'p99.9', 'max'], ...latencies]))
  return parts.join('\n\n')
}
