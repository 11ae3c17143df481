/** Opening databases: options, their checks and defaults. */

import {
  checkBoolean,
  checkBytes,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkPath,
  describe,
  IN_MEMORY,
} from './check.js'
import { Connection, resultOf } from './connection.js'
import { type Database, OpenDatabase } from './database.js'
import { aborted, invalid } from './errors.js'
import { checkJobOptions, type JobOptions, type Progress, Reports } from './job.js'
import { native, type OpenData, type ProgressSource } from './native/binding.js'

/** How to open a database. An option that is not listed here is ERR_COPPICE_INVALID_ARGUMENT. */
export interface OpenOptions {
  /** Create the database where there is none. Default true; false fails with ERR_COPPICE_NOT_FOUND then. */
  create?: boolean
  /**
   * Only read. No file is changed, so that a database on a medium that takes no writes can be opened; what a crash left in the
   * journal is replayed in memory. Every method that writes, `flush` and `checkpoint` included, fails with
   * ERR_COPPICE_READ_ONLY; a tree that does not exist reads as empty; `create` does not count. Default false.
   *
   * Shares the database with others who only read, in this process and in others, and never with one who writes: whoever
   * comes second fails with ERR_COPPICE_LOCKED, in the same process too. Not for `':memory:'`.
   */
  readOnly?: boolean
  /**
   * What a synchronous write that returned has already survived:
   *
   * - `'process'` (default): the death of this process, SIGKILL included. A power cut may take what was written since
   *   the last background sync began (`syncInterval`): always the newest writes, never a hole.
   * - `'disk'`: a power cut. The call returns after a sync of the journal, which concurrent writers share.
   * - `'none'`: nothing since the last checkpoint. For bulk loads, and caches that can be built again.
   *
   * In every mode `flush()` resolves when what was written before it is on disk. Of handles in one process on one
   * database, the first to open it decides.
   */
  durability?: 'process' | 'disk' | 'none'
  /** Milliseconds between background syncs in `'process'` mode: a whole number, 1 to 3,600,000. Default 100. */
  syncInterval?: number
  /**
   * A bound on what the engine caches: bytes, a whole number, or text with a unit such as `'1GiB'` (B, KiB, MiB, GiB or
   * TiB). At least 4 MiB; default 256 MiB. Frames and large values count, in memory, on their way to disk, or held by
   * snapshots; what is not in use and on disk is evicted for others. Beside it the engine keeps about 200 bytes for each
   * blob, the journal's mapped segments, and what one operation works with.
   *
   * A value over a quarter of it is ERR_COPPICE_VALUE_TOO_LARGE; a batch or transaction with such a value, or one that
   * changes more than it can hold, ERR_COPPICE_BATCH_TOO_LARGE when it is committed. A write waits while too much has changed
   * since the last checkpoint. `':memory:'` has no bound, as there is no disk to evict to. With `readOnly` what the journal
   * adds stays in memory, beside the bound. Of handles in one process on one database, the first to open it decides.
   */
  memory?: number | string
  /** When checkpoints happen by themselves. */
  checkpoint?: {
    /**
     * Journal bytes that may accumulate before a checkpoint clears them away: a whole number, or text with a unit such
     * as `'256MiB'` (B, KiB, MiB, GiB or TiB). Bounds disk use and the time that recovery takes. At least 64 KiB;
     * default 256 MiB.
     */
    journalBytes?: number | string
    /**
     * Checkpoints that may wait for the thread that writes them, each with the frames that it holds: a whole number, 1 to
     * 1,024. One more waits to be taken. Default 16.
     */
    queueDepth?: number
    /** Checkpoints that are asked for at about the same time are written and synced together. */
    coalesce?: {
      /** How many at most: a whole number, 1 to 1,024. Default 64. */
      epochs?: number
      /** Microseconds for which the first waits for others: a whole number, 0 to 1,000,000. Default 100. */
      windowMicros?: number
    }
    /**
     * Linux: whether frames are read and written by io_uring.
     *
     * - `'auto'` (default): where the kernel lets this process have it.
     * - `true`: always. Where that cannot be, which includes every other system, opening fails with
     *   ERR_COPPICE_UNSUPPORTED.
     * - `false`: never.
     *
     * Which it is, `stats().checkpoint.ioUring` says.
     */
    ioUring?: 'auto' | boolean
  }
}

const OPEN_OPTIONS = ['create', 'readOnly', 'durability', 'syncInterval', 'memory', 'checkpoint'] as const
const OPEN_ASYNC_OPTIONS = [...OPEN_OPTIONS, 'signal', 'onProgress'] as const
const CHECKPOINT_OPTIONS = ['journalBytes', 'queueDepth', 'coalesce', 'ioUring'] as const
const COALESCE_OPTIONS = ['epochs', 'windowMicros'] as const
const DURABILITIES = ['process', 'disk', 'none'] as const
const DEFAULT_SYNC_INTERVAL = 100
const MAX_SYNC_INTERVAL = 3_600_000
const MIN_MEMORY_BYTES = 4 * 1024 * 1024
const DEFAULT_MEMORY_BYTES = 256 * 1024 * 1024
const MIN_JOURNAL_BYTES = 64 * 1024
const DEFAULT_JOURNAL_BYTES = 256 * 1024 * 1024
const MAX_EPOCHS = 1024
const DEFAULT_QUEUE_DEPTH = 16
const DEFAULT_COALESCED_EPOCHS = 64
const MAX_WINDOW_MICROS = 1_000_000
const DEFAULT_WINDOW_MICROS = 100
const IO_URING = new Map<unknown, OpenData['ioUring']>([
  [undefined, 'auto'],
  ['auto', 'auto'],
  [true, 'always'],
  [false, 'never'],
])

/**
 * Opens the database in a folder, creating both where there is none (but not the parent folder). Recovers what a crash
 * left, before it returns.
 *
 * `path` is the database's folder. `':memory:'` gives a volatile database instead, a new one at each call, whose
 * options are checked and do not matter. The same folder opened again in this process, from worker threads too, shares
 * one engine; each handle is closed on its own.
 *
 * Throws a `CoppiceError` with
 * - ERR_COPPICE_LOCKED where another process has the database open, or this one for reading only, or the other way round,
 * - ERR_COPPICE_NOT_FOUND where there is none and `create` is false, or where the parent folder is missing,
 * - ERR_COPPICE_INCOMPATIBLE_FORMAT where its files are of a format that this version does not read,
 * - ERR_COPPICE_CORRUPT where its files are damaged,
 * - ERR_COPPICE_IO, ERR_COPPICE_NO_SPACE where the operating system refuses,
 * - ERR_COPPICE_UNSUPPORTED where `checkpoint.ioUring` is true and this process can have no io_uring,
 * - ERR_COPPICE_INVALID_ARGUMENT for a path or an option that cannot be: a path that is a file, or a folder with other
 *   things in it, too.
 *
 * None of them changes what is at the path; where a database was to be made and failed (ERR_COPPICE_NO_SPACE, ERR_COPPICE_IO), a
 * folder with its lock and nothing else may be left, in which the next call makes one.
 *
 * @example
 * using db = open('catalog.db')
 * const tree = db.tree('objects', { encoding: 'json' })
 * tree.put('photos/2024/cat.jpg', { size: 48213 })
 * tree.list({ prefix: 'photos/', delimiter: '/' }).prefixes // ['photos/2024/']
 */
export function open(path: string, options?: OpenOptions): Database {
  checkPath('path', path)
  const data = checkOpenOptions(checkOptions('open options', options, OPEN_OPTIONS))
  checkMode(path, data)
  const handle = resultOf(path === IN_MEMORY ? native.openInMemory() : native.open(path, data), path)
  return new OpenDatabase(new Connection(path, handle))
}

/** How to open a database off the event loop. */
export interface OpenAsyncOptions extends OpenOptions {
  /**
   * Gives the opening up: the promise rejects at once with ERR_COPPICE_ABORTED, whose `cause` is the signal's reason. What
   * is being opened by then is closed again in the background. A signal that comes later does nothing.
   */
  signal?: AbortSignal
  /**
   * Told how far recovery is, in bytes of journal: about ten times a second, and once at its end. `total` is too large while
   * the journal's last segment is read, since only that shows where it ends. Not called where there is no journal to read:
   * in a new database, or one that is open in this process already. What it throws gives the opening up, as `signal`
   * does, and is what the promise rejects with.
   */
  onProgress?: (progress: Progress) => void
}

/**
 * As {@link open}, with the recovery off the event loop. Rejects with what `open` throws, and with ERR_COPPICE_ABORTED.
 *
 * Openings in one process take turns: an `open` meanwhile, of whatever path, waits for the end of this one.
 *
 * @example
 * await using db = await openAsync('catalog.db', { signal: AbortSignal.timeout(10_000) })
 */
export async function openAsync(path: string, options?: OpenAsyncOptions): Promise<Database> {
  checkPath('path', path)
  const checked = checkOptions('open options', options, OPEN_ASYNC_OPTIONS)
  checkJobOptions(checked)
  const data = checkOpenOptions(checked)
  checkMode(path, data)
  const { signal } = checked
  if (signal?.aborted) throw aborted(openingOf(path), signal)
  if (path === IN_MEMORY) return open(path)
  const progress = new native.OpenProgress()
  return unlessGivenUp(path, openOffLoop(path, data, progress), progress, checked)
}

const openingOf = (path: string): string => `Opening the database '${path}'`

async function openOffLoop(path: string, data: OpenData, progress: ProgressSource): Promise<Database> {
  return new OpenDatabase(new Connection(path, resultOf(await native.openAsync(path, data, progress), path)))
}

function unlessGivenUp(
  path: string,
  opening: Promise<Database>,
  progress: ProgressSource,
  { signal, onProgress }: JobOptions,
): Promise<Database> {
  return new Promise((resolve, reject) => {
    const giveUp = (error: unknown) => {
      reject(error)
      // Nobody is left to be told of a failure to open, or to close.
      opening.then((database) => database.promises.close()).catch(() => undefined)
    }
    const abort = () => giveUp(aborted(openingOf(path), signal))
    const reports = new Reports(progress, 'bytes', onProgress, giveUp)
    signal?.addEventListener('abort', abort, { once: true })
    // Before the caller goes on, who may call off then what else the signal is for.
    const settled = () => {
      reports.stop()
      signal?.removeEventListener('abort', abort)
    }
    opening.then(
      (database) => {
        reports.report()
        settled()
        resolve(database)
      },
      (error: unknown) => {
        settled()
        reject(error)
      },
    )
  })
}

function checkOpenOptions(options: OpenOptions): OpenData {
  const { create, readOnly, durability, syncInterval, memory, checkpoint } = options
  const { journalBytes, queueDepth, coalesce, ioUring } = checkOptions('checkpoint', checkpoint, CHECKPOINT_OPTIONS)
  const { epochs, windowMicros } = checkOptions('checkpoint.coalesce', coalesce, COALESCE_OPTIONS)
  return {
    create: checkBoolean('create', create, true),
    readOnly: checkBoolean('readOnly', readOnly, false),
    durability: checkOneOf('durability', durability, DURABILITIES, 'process'),
    syncInterval: checkInteger('syncInterval', syncInterval, 1, MAX_SYNC_INTERVAL, DEFAULT_SYNC_INTERVAL),
    memoryBytes: checkBytes('memory', memory, MIN_MEMORY_BYTES, DEFAULT_MEMORY_BYTES),
    journalBytes: checkBytes('checkpoint.journalBytes', journalBytes, MIN_JOURNAL_BYTES, DEFAULT_JOURNAL_BYTES),
    queueDepth: checkInteger('checkpoint.queueDepth', queueDepth, 1, MAX_EPOCHS, DEFAULT_QUEUE_DEPTH),
    coalesceEpochs: checkInteger('checkpoint.coalesce.epochs', epochs, 1, MAX_EPOCHS, DEFAULT_COALESCED_EPOCHS),
    coalesceWindowMicros: checkInteger(
      'checkpoint.coalesce.windowMicros',
      windowMicros,
      0,
      MAX_WINDOW_MICROS,
      DEFAULT_WINDOW_MICROS,
    ),
    ioUring: checkIoUring(ioUring),
  }
}

function checkMode(path: string, { readOnly }: OpenData): void {
  if (path === IN_MEMORY && readOnly) throw invalid("readOnly is not for ':memory:', which begins empty")
}

function checkIoUring(value: unknown): OpenData['ioUring'] {
  const choice = IO_URING.get(value)
  if (choice === undefined) throw invalid(`checkpoint.ioUring must be 'auto', true or false, not ${describe(value)}`)
  return choice
}
