/** A database's figures as Prometheus reads them: its text format, version 0.0.4. */

import type { DatabaseStats } from './database.js'

type Kind = 'gauge' | 'counter'

/** Name, kind, meaning, and where the figure is. */
type Metric = [name: string, kind: Kind, help: string, read: (stats: DatabaseStats) => number | boolean | undefined]

const METRICS: readonly Metric[] = [
  ['keys', 'gauge', 'Records in all trees.', (stats) => stats.keys],
  ['trees', 'gauge', 'Trees.', (stats) => stats.trees],
  ['blobs', 'gauge', 'Frames and large values.', (stats) => stats.blobs],
  ['depth_max', 'gauge', 'Frames on the longest way to a record.', (stats) => stats.depth.max],
  ['depth_mean', 'gauge', 'Frames on the mean way to a record.', (stats) => stats.depth.mean],
  ['fill_ratio', 'gauge', 'Bytes in use over all bytes of frames.', (stats) => stats.fill],
  ['memory_budget_bytes', 'gauge', 'Bytes that blobs may take; 0: no bound.', (stats) => stats.memory.budget],
  ['memory_used_bytes', 'gauge', 'Bytes that blobs take.', (stats) => stats.memory.used],
  ['memory_resident_bytes', 'gauge', 'Bytes of blobs in memory.', (stats) => stats.memory.resident],
  ['memory_dirty_bytes', 'gauge', 'Of these, changed since the last checkpoint.', (stats) => stats.memory.dirty],
  ['memory_hits_total', 'counter', 'Uses of blobs in memory that were noted.', (stats) => stats.memory.hits],
  ['memory_misses_total', 'counter', 'Blobs read from disk.', (stats) => stats.memory.misses],
  ['memory_fetches_total', 'counter', 'Of these, read for promises.', (stats) => stats.memory.fetches],
  [
    'memory_read_aheads_total',
    'counter',
    'Of these, read before they were wanted.',
    (stats) => stats.memory.readAheads,
  ],
  ['memory_evictions_total', 'counter', 'Blobs that made way for others.', (stats) => stats.memory.evictions],
  ['journal_bytes', 'gauge', 'Bytes that a recovery would have to read.', (stats) => stats.journal.bytes],
  ['journal_appended_bytes_total', 'counter', 'Bytes appended to the journal.', (stats) => stats.journal.appended],
  ['journal_syncs_total', 'counter', 'Syncs of the journal.', (stats) => stats.journal.syncs],
  ['journal_group_size', 'gauge', 'Records appended for each sync, on average.', (stats) => stats.journal.groupSize],
  ['journal_stalls_total', 'counter', 'Writes that waited for a checkpoint.', (stats) => stats.journal.stalls],
  ['checkpoint_rounds_total', 'counter', 'Rounds of checkpoints that succeeded.', (stats) => stats.checkpoint.rounds],
  ['checkpoint_failures_total', 'counter', 'Rounds that failed.', (stats) => stats.checkpoint.failures],
  [
    'checkpoint_written_bytes_total',
    'counter',
    'Bytes that checkpoints wrote.',
    (stats) => stats.checkpoint.bytesWritten,
  ],
  [
    'checkpoint_queue_depth',
    'gauge',
    'Checkpoints that wait or are being written.',
    (stats) => stats.checkpoint.queueDepth,
  ],
  ['checkpoint_io_uring', 'gauge', 'Whether io_uring writes them: 1 or 0.', (stats) => stats.checkpoint.ioUring],
  ['snapshots_open', 'gauge', 'Snapshots that are open.', (stats) => stats.snapshots.open],
  [
    'snapshots_oldest_version',
    'gauge',
    'The version of the oldest open snapshot.',
    (stats) => stats.snapshots.oldestVersion,
  ],
  [
    'snapshots_pinned_blobs',
    'gauge',
    'Frames and large values that are kept for snapshots alone.',
    (stats) => stats.snapshots.pinnedBlobs,
  ],
  ['disk_bytes', 'gauge', "Bytes of the database's files.", (stats) => stats.disk.bytes],
  ['disk_free_bytes', 'gauge', 'Of these, free to be used again.', (stats) => stats.disk.free],
]

/** The figures that there are, each with the database's path as its label. */
export function metricsText(path: string, stats: DatabaseStats): string {
  const label = `path="${escapeLabel(path)}"`
  return METRICS.map(([name, kind, help, read]) => {
    const figure = read(stats)
    if (figure === undefined) return ''
    return `# HELP coppice_${name} ${help}\n# TYPE coppice_${name} ${kind}\ncoppice_${name}{${label}} ${Number(figure)}\n`
  }).join('')
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' }

function escapeLabel(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => ESCAPES[character] as string)
}
