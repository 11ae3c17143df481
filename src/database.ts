/** Databases: their trees, their durability, their figures, their end. */

import { type Batch, OpenBatch } from './batch.js'
import { checkDestination, checkText } from './check.js'
import type { Codec } from './codec.js'
import type { Connection } from './connection.js'
import { Diagnostics } from './diagnostics.js'
import { TreeHandles, type TreeOptions } from './handles.js'
import { type JobOptions, type Progress, runJob } from './job.js'
import type { Bytes } from './key.js'
import { metricsText } from './metrics.js'
import { type JobControl, native } from './native/binding.js'
import { OpenSnapshot, type Snapshot } from './snapshot.js'
import { type Transaction, type TransactOptions, transact } from './transaction.js'
import type { Tree } from './tree.js'

/**
 * What one checkpoint did. Checkpoints that are asked for at about the same time share a round: one write and one sync.
 * What the round wrote and synced is told to each of them.
 */
export interface CheckpointReport {
  /** Every commit up to this one is in the blob store. */
  version: number
  /** Blobs that had changed since the checkpoint before. */
  dirtyBlobs: number
  /** Of these, how many were written: all but those that a later checkpoint of the same round wrote again. */
  flushedBlobs: number
  /** Blobs that nothing refers to any more and that were to be freed. */
  pendingDeletes: number
  /** Of these, how many were freed. */
  appliedDeletes: number
  /** By the round. */
  bytesWritten: number
  /** Syncs that the round issued to the operating system. */
  syncs: number
  /** Checkpoints that the round's write and sync served. */
  epochsCoalesced: number
  /** Milliseconds from the moment that the checkpoint shows to its report. */
  durationMs: number
}

/**
 * Counters and sizes of a database, as of now. Sizes are in bytes; counters start at 0 when the database is opened. All
 * handles on one database in a process show the same.
 */
export interface DatabaseStats {
  /** Records in all trees. */
  keys: number
  trees: number
  /** Frames and large values: the units that checkpoints write. */
  blobs: number
  /** How many frames lie on the way to a record. */
  depth: { max: number; mean: number }
  /** Bytes in use over all bytes of frames, 0 to 1. */
  fill: number
  /** Bytes, and counts since the database was opened. */
  memory: {
    /** The option `memory`: what frames and values may take, with what `readOnly` keeps of the journal. 0 for `':memory:'`: no bound. */
    budget: number
    /** What they take: those in memory, those on their way to disk, and those given up that may still have readers. */
    used: number
    /** Of blobs in memory. */
    resident: number
    /** Of these, changed since the last checkpoint. */
    dirty: number
    /**
     * Uses of blobs that were in memory. Of the uses of one blob only the first is counted until eviction comes by, since
     * readers write nothing down where that is noted already: so this says how much of memory is in use, not how many reads
     * there were.
     */
    hits: number
    /** How many blobs had to be read from disk. */
    misses: number
    /** Of these, how many the engine's own threads read for promises, which do not wait for the disk themselves. */
    fetches: number
    /** Of these, how many the engine's own threads read before they were wanted. */
    readAheads: number
    /** How many blobs had to make way for others. */
    evictions: number
  }
  journal: {
    /** What a recovery would have to read. */
    bytes: number
    /** Appended since the database was opened. */
    appended: number
    syncs: number
    /** Records appended for each sync, on average; the number of records where there was no sync. */
    groupSize: number
    /**
     * How often a write waited for a checkpoint: because the journal was past twice `checkpoint.journalBytes`, or because too
     * much of `memory` had changed since the last one.
     */
    stalls: number
  }
  checkpoint: {
    /** Rounds of the checkpoint thread that succeeded. One round may serve several checkpoints. */
    rounds: number
    failures: number
    bytesWritten: number
    /** Checkpoints that wait for the thread, or are being written by it. */
    queueDepth: number
    /** Whether io_uring writes them. */
    ioUring: boolean
    /** What the last round that failed says of it; not there where none has. */
    lastError?: string
  }
  snapshots: {
    /** Snapshots that are open, in all threads. */
    open: number
    /** The version of the oldest; not there where none is open. */
    oldestVersion?: number
    /** Frames and large values that are kept for snapshots alone, in memory or on disk: changed or freed since. */
    pinnedBlobs: number
  }
  disk: {
    /** Of the database's files together, by their lengths. */
    bytes: number
    /** Of these, free to be used again; some of it the file system may have back meanwhile, where files can have holes. */
    free: number
  }
}

/** What {@link Database.verify} found. */
export interface VerifyReport {
  /** Whether nothing is wrong: `problems` is empty. */
  ok: boolean
  /** The last commit that was looked at: all before the call, and none made since. */
  version: number
  trees: number
  /** Records in all trees; where a frame cannot be read, without those behind it. */
  keys: number
  /** Frames and large values that were looked at, those included that are on disk and not in use any more. */
  blobs: number
  /** Their bytes. */
  bytes: number
  /**
   * Everything that is wrong. `file` is a file in the database's folder, or `'memory'` for a frame that is not on disk as
   * it is now; empty where it is not one file's. `offset` is in bytes.
   */
  problems: { file: string; offset: number; what: string }[]
}

/** The forms of {@link Database} that return a promise. */
export interface DatabasePromises {
  /** See {@link Database.flush}. */
  flush(): Promise<void>
  /** See {@link Database.checkpoint}. */
  checkpoint(): Promise<CheckpointReport>
  /** As {@link Database.close}, off the event loop. The database is closed to new calls at once. */
  close(): Promise<void>
}

/**
 * An open database. Get one from {@link open}.
 *
 * All methods but `close` throw, or reject with, ERR_COPPICE_CLOSED once it is closed. Where it was opened with `readOnly`,
 * those that write, `flush` and `checkpoint` included, throw ERR_COPPICE_READ_ONLY.
 */
export interface Database extends Disposable, AsyncDisposable {
  /** The path that it was opened by. */
  readonly path: string
  /**
   * Opens a tree, creating it where there is none. Trees are apart from one another: each has its own keys. The name is
   * any text of up to 1,024 bytes; the default tree's is empty.
   *
   * A handle is cheap, is good until the database is closed or the tree dropped, and is the same object for the same name
   * and options. One tree may be opened with different encodings at once: they are views of the same bytes.
   *
   * Without options, values go in as bytes or text and come back as Buffers.
   */
  tree(name?: string): Tree<Buffer, Bytes>
  /** Values are text. Bytes that are not UTF-8 (stored through another handle) come back with U+FFFD in their place. */
  tree(name: string, options: { encoding: 'utf8' }): Tree<string>
  /**
   * Values are whatever JSON can say, stored as text. ERR_COPPICE_INVALID_ARGUMENT for a value that has no JSON form
   * (undefined, a function); what `JSON` throws, for a cycle or for stored bytes that are no JSON, is thrown as it is.
   */
  tree<V = unknown>(name: string, options: { encoding: 'json' }): Tree<V>
  /** Values are what a codec of your own makes of bytes. */
  tree<V>(name: string, options: { encoding: Codec<V> }): Tree<V>
  /** Keys come back as Buffers, for names that need not be UTF-8; without `keys: 'buffer'` such a key is refused. */
  tree(name: string, options: { keys: 'buffer' }): Tree<Buffer, Bytes, Buffer>
  /** Keys come back as Buffers, values are text. */
  tree(name: string, options: { encoding: 'utf8'; keys: 'buffer' }): Tree<string, string, Buffer>
  /** Keys come back as Buffers, values are JSON. */
  tree<V = unknown>(name: string, options: { encoding: 'json'; keys: 'buffer' }): Tree<V, V, Buffer>
  /** Keys come back as Buffers, values are what a codec of your own makes of bytes. */
  tree<V>(name: string, options: { encoding: Codec<V>; keys: 'buffer' }): Tree<V, V, Buffer>
  /** The names of all trees, in byte order of their UTF-8. */
  trees(): string[]
  /**
   * Removes a tree with all its keys, at a cost that does not grow with their number. False where there is none of that
   * name. Every handle of it, in all worker threads, fails with ERR_COPPICE_TREE_DROPPED from then on; a tree made by the
   * same name later is a new one. Space comes back as after {@link Tree.deletePrefix}.
   */
  dropTree(name: string): boolean
  /** Begins a batch: changes across any trees of this database, all or nothing. See {@link Batch}. */
  batch(): Batch
  /**
   * Runs `fn`, which reads and writes through the transaction that it is given, and commits its writes together, all or
   * nothing, if everything that it read still holds then. Otherwise, because another thread changed that meanwhile,
   * nothing is written and `fn` runs again, from the start; after `retries` further runs ERR_COPPICE_CONFLICT is thrown.
   * Returns what `fn` returned. Nothing is locked meanwhile.
   *
   * So `fn` may run more than once and should have no effects of its own. What it reads in a run that ends in a conflict
   * may not fit together. What it throws reaches you, with nothing written, unless what it had read did not hold any more:
   * then it runs again. It must be synchronous: a promise, as an async function returns it, is refused with
   * ERR_COPPICE_INVALID_ARGUMENT, and nothing is written.
   *
   * Reads and writes that go around the transaction, directly to a tree, are no part of it; one that writes to what the
   * transaction has read is a conflict. A transaction within another one of the same `Database` is refused with
   * ERR_COPPICE_INVALID_ARGUMENT.
   *
   * @example
   * const id = db.transact((tx) => {
   *   const next = (tx.get(counters, 'id') ?? 0) + 1
   *   tx.put(counters, 'id', next)
   *   return next
   * })
   */
  transact<T>(fn: (tx: Transaction) => T, options?: TransactOptions): T
  /**
   * A stable, read-only view of every tree as of now. It blocks nobody, and reads nothing from disk to be taken; the cost is
   * some 60 ns for each frame and large value that was changed since the last checkpoint. Where more has changed than snapshots
   * may hold of `memory` (58 MiB of 256), the call makes a checkpoint first and waits for it. See {@link Snapshot}.
   *
   * @example
   * using snapshot = db.snapshot()
   * for (const [key, value] of snapshot.tree('objects').entries()) archive(key, value) // while others write
   */
  snapshot(): Snapshot
  /**
   * Resolves when all that was written before the call is on disk, and so survives a power cut. Rejects with
   * ERR_COPPICE_IO where that failed, from when on the database takes no writes (ERR_COPPICE_READ_ONLY). Runs off the
   * event loop.
   */
  flush(): Promise<void>
  /**
   * Resolves when all that was written before the call is in the blob store, and the journal is cut down to what came
   * after. Checkpoints also happen by themselves (see {@link OpenOptions.checkpoint}) and at `close`; one by hand makes
   * the next open quicker. Rejects with ERR_COPPICE_NO_SPACE where the disk is full (nothing is lost then, and a later
   * one may succeed), else as `flush` does. Runs off the event loop.
   */
  checkpoint(): Promise<CheckpointReport>
  /**
   * Reads everything that is on disk and checks it, and that all frames as of now hang together: every checksum; each
   * frame's own order and counts; that each frame and large value is led to exactly once, by what it says it is; that
   * keys and versions are within their bounds; that every tree with keys has a name. Reports everything that is wrong,
   * with its place.
   *
   * Changes nothing. Runs off the event loop, and others read and write meanwhile; what they write is no part of it. File
   * space that checkpoints free until it is done is not used again before.
   */
  verify(options?: { signal?: AbortSignal; onProgress?: (progress: Progress) => void }): Promise<VerifyReport>
  /**
   * Gives file space back to the system: frees what was deleted, makes a checkpoint, moves what lies at the end of the file of
   * blobs into gaps below, a few megabytes at a time, and cuts the end off. Others read and write meanwhile. What open
   * snapshots show keeps its place. Runs off the event loop; progress is told in bytes moved. Called off, it keeps what it has
   * done. A volatile database has nothing to give back.
   *
   * It also happens by itself, in small steps, where more than two thirds of the file, and more than 64 MiB, are free.
   *
   * Rejects as `checkpoint` does; with ERR_COPPICE_CORRUPT where something that was to be moved is damaged, which stays where
   * it is; and with ERR_COPPICE_ABORTED.
   */
  compact(options?: {
    signal?: AbortSignal
    onProgress?: (progress: Progress) => void
  }): Promise<{ bytesFreed: number }>
  /**
   * Copies everything, as it is at one moment behind the call, to a new folder, where it is a database of its own: it can be
   * opened at once, anywhere, and knows nothing of this one. Others read and write meanwhile; what they write behind that
   * moment is no part of the copy. What is read from disk is checked on the way. Runs off the event loop, in a few megabytes of memory beside
   * what a {@link Snapshot} takes; progress is told in blobs.
   *
   * `destination` is a path at which there is nothing (its parent folder exists) or an empty folder. Resolves when every file
   * and folder of the copy is on disk. Until then there is no database there; after a failure, or an abort, nothing of it is
   * left. A process that dies meanwhile leaves a folder that no `open` takes for a database.
   *
   * Rejects with ERR_COPPICE_INVALID_ARGUMENT for a destination that is a file, is not empty, lies inside this database, or is
   * a link that leads to nothing, and for ':memory:';
   * ERR_COPPICE_NOT_FOUND where its parent folder is missing; ERR_COPPICE_NO_SPACE, ERR_COPPICE_IO;
   * ERR_COPPICE_CORRUPT where something that is to be copied is damaged; ERR_COPPICE_ABORTED.
   *
   * @example
   * await db.backup(`backups/${new Date().toISOString()}.db`, { signal: AbortSignal.timeout(3_600_000) })
   */
  backup(
    destination: string,
    options?: { signal?: AbortSignal; onProgress?: (progress: Progress) => void },
  ): Promise<void>
  /** Counters and sizes, as of now. */
  stats(): DatabaseStats
  /**
   * The figures of `stats` in the text format of Prometheus, to be served to its scrapes as it is. Names begin with
   * `coppice_` and end in the unit, those of counters in `_total`; the label `path` is the database's path.
   */
  metrics(): string
  /** The same as methods of one object that return promises. */
  readonly promises: DatabasePromises
  /**
   * Flushes, checkpoints, and releases the database's folder, unless other handles in this process still have it open.
   * Waits for the disk; `promises.close` does the same without holding up the event loop. Throws what could not be made
   * durable; the database is closed all the same. A second call does nothing.
   *
   * A database that is not closed loses nothing that its `durability` promised; the next open takes longer.
   */
  close(): void
  /** As `close`, for `using`. */
  [Symbol.dispose](): void
  /** As `promises.close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}

export class OpenDatabase implements Database {
  readonly path: string
  readonly promises: DatabasePromises
  readonly #connection: Connection
  readonly #diagnostics: Diagnostics
  readonly #handles: TreeHandles
  #closing: Promise<void> | undefined

  constructor(connection: Connection) {
    this.#diagnostics = new Diagnostics(connection)
    this.path = connection.path
    this.#connection = connection
    this.#handles = new TreeHandles(connection, (tree) => tree)
    this.promises = {
      flush: () => this.flush(),
      checkpoint: () => this.checkpoint(),
      close: () => this.#closeAsync(),
    }
  }

  // The overloads of the interface meet here; which one was called decides the types, the options decide the rest.
  tree<V, In, K extends string | Buffer>(name = '', options?: TreeOptions): Tree<V, In, K> & Tree<Buffer, Bytes> {
    this.#diagnostics.look()
    return this.#handles.open(name, options) as Tree<V, In, K> & Tree<Buffer, Bytes>
  }

  dropTree(name: string): boolean {
    this.#connection.requireOpen()
    checkText('tree name', name)
    return this.#connection.resultOf(native.dropTree(this.#connection.handle, name))
  }

  trees(): string[] {
    return this.#connection.resultOf(native.trees(this.#connection.handle))
  }

  batch(): Batch {
    this.#connection.requireOpen()
    return new OpenBatch(this.#connection)
  }

  transact<T>(fn: (tx: Transaction) => T, options?: TransactOptions): T {
    return transact(this.#connection, fn, options)
  }

  snapshot(): Snapshot {
    return new OpenSnapshot(this.#connection)
  }

  async flush(): Promise<void> {
    this.#diagnostics.look()
    this.#connection.resultOf(await native.flush(this.#connection.handle))
  }

  async checkpoint(): Promise<CheckpointReport> {
    this.#diagnostics.look()
    return this.#connection.resultOf(await native.checkpoint(this.#connection.handle))
  }

  async verify(options?: JobOptions): Promise<VerifyReport> {
    const start = (control: JobControl) => native.verify(this.#connection.handle, control)
    const data = await runJob(this.#connection, 'verify', 'blobs', options, start)
    return { ok: data.problems.length === 0, ...data }
  }

  async compact(options?: JobOptions): Promise<{ bytesFreed: number }> {
    const start = (control: JobControl) => native.compact(this.#connection.handle, control)
    return { bytesFreed: await runJob(this.#connection, 'compact', 'bytes', options, start) }
  }

  async backup(destination: string, options?: JobOptions): Promise<void> {
    this.#connection.requireOpen()
    checkDestination(destination)
    const start = (control: JobControl) => native.backup(this.#connection.handle, destination, control)
    await runJob(this.#connection, 'backup', 'blobs', options, start)
  }

  stats(): DatabaseStats {
    this.#diagnostics.look()
    const data = this.#connection.resultOf(native.stats(this.#connection.handle))
    return {
      keys: data.keys,
      trees: data.trees,
      blobs: data.blobs,
      depth: { max: data.depthMax, mean: data.depthMean },
      fill: data.fill,
      memory: {
        budget: data.memoryBudget,
        used: data.memoryUsed,
        resident: data.memoryResident,
        dirty: data.memoryDirty,
        hits: data.memoryHits,
        misses: data.memoryMisses,
        fetches: data.memoryFetches,
        readAheads: data.memoryReadAheads,
        evictions: data.memoryEvictions,
      },
      journal: {
        bytes: data.journalBytes,
        appended: data.journalAppended,
        syncs: data.journalSyncs,
        groupSize: data.journalGroupSize,
        stalls: data.journalStalls,
      },
      checkpoint: {
        rounds: data.checkpointRounds,
        failures: data.checkpointFailures,
        bytesWritten: data.checkpointBytesWritten,
        queueDepth: data.checkpointQueueDepth,
        ioUring: data.checkpointIoUring,
        ...(data.checkpointLastError === undefined ? {} : { lastError: data.checkpointLastError }),
      },
      snapshots: {
        open: data.snapshotsOpen,
        ...(data.snapshotsOldestVersion === undefined ? {} : { oldestVersion: data.snapshotsOldestVersion }),
        pinnedBlobs: data.snapshotsPinnedBlobs,
      },
      disk: { bytes: data.diskBytes, free: data.diskFree },
    }
  }

  metrics(): string {
    return metricsText(this.path, this.stats())
  }

  close(): void {
    if (!this.#connection.open) return
    this.#connection.end()
    this.#connection.resultOf(native.close(this.#connection.handle))
  }

  #closeAsync(): Promise<void> {
    this.#closing ??= this.#closeOnce()
    return this.#closing
  }

  async #closeOnce(): Promise<void> {
    if (!this.#connection.open) return
    this.#connection.end()
    this.#connection.resultOf(await native.closeAsync(this.#connection.handle))
  }

  [Symbol.dispose](): void {
    this.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closeAsync()
  }
}
