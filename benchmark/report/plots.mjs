// The same figures as pictures, with logarithmic axes since they lie orders of magnitude apart.

import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'

const WIDTH = 860
const LOGARITHMIC = {
  type: 'log',
  grid: true,
  label: null,
  tickFormat: (value) => (Number.isInteger(Math.log10(value)) ? value.toLocaleString('en-US') : ''),
}
const PALETTE = { coppice: '#2a7f62', lmdb: '#d98e04', 'classic-level': '#5b7db1', 'better-sqlite3': '#a05195' }

/** An SVG file of a plot. */
function draw(heading, options) {
  const { document } = parseHTML('<html><body></body></html>')
  const figure = Plot.plot({
    document,
    width: WIDTH,
    marginLeft: 200,
    marginRight: 90,
    marginTop: 44,
    marginBottom: 40,
    ...options,
    style: { background: 'white', color: '#222' },
  })
  figure.setAttribute('xmlns', 'http://www.w3.org/2000/svg')
  const title = document.createElementNS('http://www.w3.org/2000/svg', 'text')
  for (const [name, value] of Object.entries({ x: 8, y: 18, 'text-anchor': 'start', 'font-weight': 'bold' })) {
    title.setAttribute(name, String(value))
  }
  title.textContent = heading
  figure.append(title)
  return `${figure.outerHTML}\n`
}

const colours = (engines) => ({ domain: engines, range: engines.map((name) => PALETTE[name]) })

const headingOf = ({ title, keys }, what) => `${what}, ${title}, ${keys.toLocaleString('en-US')} keys`

/** How many times as long as the first engine the others take for each operation. */
export function drawRatios(comparison, engines) {
  const [own, ...peers] = engines
  const bars = comparison.operations.flatMap(({ title, medians }) =>
    peers.map((engine) => ({ title, engine, times: medians[engine] / medians[own] })),
  )
  const rounded = (times) => times.toLocaleString('en-US', { maximumSignificantDigits: 2 })
  return draw(headingOf(comparison, `Times as long as ${own}`), {
    height: 60 + bars.length * 20,
    x: { ...LOGARITHMIC, domain: [Math.min(0.5, ...bars.map(({ times }) => times)), 10_000] },
    y: { axis: null, domain: peers },
    fy: { label: null, domain: comparison.operations.map(({ title }) => title) },
    color: colours(peers),
    marks: [
      Plot.barX(bars, { x1: 1, x2: 'times', y: 'engine', fy: 'title', fill: 'engine' }),
      Plot.text(bars, {
        x: (bar) => Math.max(1, bar.times),
        y: 'engine',
        fy: 'title',
        text: ({ engine, times }) => `${rounded(times)} × ${engine}`,
        textAnchor: 'start',
        dx: 4,
      }),
      Plot.ruleX([1]),
    ],
  })
}

/** From the middle to the longest of single calls. */
export function drawLatencies(comparison, engines) {
  const points = comparison.operations.flatMap(({ title, latencies }) =>
    Object.entries(latencies).flatMap(([engine, quantiles]) =>
      Object.entries(quantiles).map(([quantile, nanoseconds]) => ({
        title,
        engine,
        quantile,
        micros: nanoseconds / 1000,
      })),
    ),
  )
  return draw(headingOf(comparison, 'Microseconds of single calls: p50, p99, p99.9, longest'), {
    height: 60 + (points.length / 4) * 20,
    marginLeft: 290,
    x: LOGARITHMIC,
    y: { label: null, domain: engines, tickSize: 0 },
    fy: { label: null, axis: null, domain: [...new Set(points.map(({ title }) => title))] },
    color: colours(engines),
    marks: [
      Plot.text(
        points,
        Plot.selectFirst({ fy: 'title', z: 'title', text: 'title', frameAnchor: 'left', dx: -280, fontWeight: 'bold' }),
      ),
      Plot.line(points, { x: 'micros', y: 'engine', fy: 'title', z: 'engine', stroke: 'engine', strokeWidth: 2 }),
      Plot.dot(points, { x: 'micros', y: 'engine', fy: 'title', fill: 'engine', r: 4 }),
    ],
  })
}

/** Nanoseconds of each operation by the number of keys; a line for each shape of keys. */
export function drawSizes(figures) {
  const operations = [...new Set(figures.map(({ operation }) => operation))]
  const shapes = [...new Set(figures.map(({ shape }) => shape))]
  const COLOURS = ['#2a7f62', '#d98e04', '#5b7db1', '#a05195', '#c44536', '#6b705c']
  const inFrame = { frameAnchor: 'top-left', textAnchor: 'start' }
  return draw('Nanoseconds of an operation in memory, by the number of keys', {
    height: 900,
    marginLeft: 60,
    marginRight: 30,
    marginTop: 70,
    x: LOGARITHMIC,
    y: { ...LOGARITHMIC, domain: [10, 10_000] },
    fy: { axis: null, domain: operations },
    color: { domain: shapes, range: COLOURS },
    marks: [
      Plot.frame({ stroke: '#ccc' }),
      Plot.line(figures, { x: 'keys', y: 'nanoseconds', fy: 'operation', stroke: 'shape', marker: 'dot' }),
      Plot.text(operations, { ...inFrame, fy: (name) => name, text: (name) => name, dx: 8, dy: 8, fontWeight: 'bold' }),
      ...shapes.map((shape, index) =>
        Plot.text([shape], {
          ...inFrame,
          fy: [operations[0]],
          text: (name) => `● ${name}`,
          fill: COLOURS[index],
          dx: 125 * index,
          dy: -18,
        }),
      ),
    ],
  })
}
