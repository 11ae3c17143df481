import path from 'node:path'
import test from 'ava'
import { open } from 'coppice'
import { temporaryFolder, throwsCode, volatile } from './support/database.js'

interface Sample {
  labels: string
  value: number
}

/** The samples of a text in Prometheus's format, by name; refuses one without its HELP and TYPE in front. */
function parse(text: string): Map<string, Sample> {
  const lines = text.split('\n')
  if (lines.pop() !== '') throw new Error('the text must end with a line feed')
  const samples = new Map<string, Sample>()
  for (let line = 0; line < lines.length; line += 3) {
    const [, name = ''] = /^# HELP (coppice_[a-z_]+) \S.*\.$/.exec(lines[line] ?? '') ?? []
    const [, kind] = new RegExp(`^# TYPE ${name} (gauge|counter)$`).exec(lines[line + 1] ?? '') ?? []
    if ((kind === 'counter') !== name.endsWith('_total')) throw new Error(`${name} is a ${kind}`)
    const [, labels, value] = new RegExp(`^${name}\\{(.*)\\} (\\S+)$`).exec(lines[line + 2] ?? '') ?? []
    if (labels === undefined || samples.has(name)) throw new Error(`no sample, or a second one: ${lines[line + 2]}`)
    samples.set(name, { labels, value: Number(value) })
  }
  return samples
}

test('metrics has the figures of stats', async (t) => {
  using db = open(await temporaryFolder(t))
  const tree = db.tree()
  for (let index = 0; index < 100; index++) tree.put(`k${index}`, 'v')
  await db.flush()
  await db.checkpoint()
  using snapshot = db.snapshot()
  tree.put('k0', 'w')
  const stats = db.stats()
  const metrics = parse(db.metrics())
  const figures = {
    keys: 100,
    trees: 1,
    blobs: stats.blobs,
    depth_max: stats.depth.max,
    fill_ratio: stats.fill,
    memory_budget_bytes: 256 * 1024 * 1024,
    memory_resident_bytes: stats.memory.resident,
    memory_misses_total: stats.memory.misses,
    memory_fetches_total: 0,
    memory_read_aheads_total: 0,
    memory_evictions_total: 0,
    journal_appended_bytes_total: stats.journal.appended,
    journal_stalls_total: stats.journal.stalls,
    checkpoint_rounds_total: stats.checkpoint.rounds,
    checkpoint_written_bytes_total: stats.checkpoint.bytesWritten,
    checkpoint_io_uring: Number(stats.checkpoint.ioUring),
    snapshots_open: 1,
    snapshots_oldest_version: snapshot.version,
    snapshots_pinned_blobs: stats.snapshots.pinnedBlobs,
    disk_bytes: stats.disk.bytes,
    disk_free_bytes: stats.disk.free,
  }
  for (const [name, figure] of Object.entries(figures)) t.is(metrics.get(`coppice_${name}`)?.value, figure, name)
  t.true((metrics.get('coppice_journal_syncs_total')?.value ?? 0) >= 1)
  t.is(metrics.size, 30)
  for (const { value } of metrics.values()) t.true(Number.isFinite(value))
})

test('metrics has no figure for what is not there', (t) => {
  t.false(parse(volatile(t).metrics()).has('coppice_snapshots_oldest_version'))
})

// Windows has neither of these characters in names.
const unlessWindows = process.platform === 'win32' ? test.skip : test
unlessWindows('the path is a label, escaped', async (t) => {
  const folder = path.join(await temporaryFolder(t), 'a"b\\c\nd')
  using db = open(folder)
  const expected = `path="${path.dirname(folder)}/a\\"b\\\\c\\nd"`
  for (const { labels } of parse(db.metrics()).values()) t.is(labels, expected)
})

test('metrics of a closed database are refused', (t) => {
  const db = volatile(t)
  t.regex(db.metrics(), /path=":memory:"/)
  db.close()
  throwsCode(t, () => db.metrics(), 'ERR_COPPICE_CLOSED')
})
