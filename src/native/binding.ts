/**
 * The private interface to the addon (crates/node): exactly what it exports, with the addon loaded once.
 *
 * Two planes, as there: the control plane answers with a result or a failure as data; the hot functions answer with a
 * number that is a length, a count, a truth value or a version where it is not negative, and one of the codes below
 * where it is. Nothing outside src/ sees any of this.
 */

import type { CoppiceErrorCode } from '../errors.js'
import { loadBinding } from '../load-binding.js'
import type { Parts } from '../parts.js'
import { type Addon, withNumbers } from './numbers.js'

/** Why an operation did not happen. */
export interface FailureData {
  code: CoppiceErrorCode
  message: string
  cause?: string
}

export interface OpenData {
  create: boolean
  readOnly: boolean
  durability: 'none' | 'process' | 'disk'
  syncInterval: number
  memoryBytes: number
  journalBytes: number
  queueDepth: number
  coalesceEpochs: number
  coalesceWindowMicros: number
  ioUring: 'auto' | 'always' | 'never'
}

export interface CheckpointData {
  version: number
  dirtyBlobs: number
  flushedBlobs: number
  pendingDeletes: number
  appliedDeletes: number
  bytesWritten: number
  syncs: number
  epochsCoalesced: number
  durationMs: number
}

export interface StatsData {
  keys: number
  trees: number
  blobs: number
  depthMax: number
  depthMean: number
  fill: number
  memoryBudget: number
  memoryUsed: number
  memoryResident: number
  memoryDirty: number
  memoryHits: number
  memoryMisses: number
  memoryFetches: number
  memoryReadAheads: number
  memoryEvictions: number
  journalBytes: number
  journalAppended: number
  journalSyncs: number
  journalGroupSize: number
  journalStalls: number
  checkpointRounds: number
  checkpointFailures: number
  checkpointBytesWritten: number
  checkpointQueueDepth: number
  checkpointIoUring: boolean
  checkpointLastError?: string
  snapshotsOpen: number
  snapshotsOldestVersion?: number
  snapshotsPinnedBlobs: number
  diskBytes: number
  diskFree: number
}

export interface VerifyData {
  version: number
  trees: number
  keys: number
  blobs: number
  bytes: number
  problems: { file: string; offset: number; what: string }[]
}

export interface SalvageData {
  version?: number
  trees: number
  keys: number
  lostAndFound?: string
  unplaced: number
  lostFrames: number
  lostValues: number
  lost: { tree?: string; first: Buffer; last: Buffer; records: number }[]
  problems: { file: string; offset: number; what: string }[]
}

export interface SnapshotData {
  handle: number
  version: number
}

/** How far something is that runs off the event loop. */
export interface ProgressSource {
  /** Steps done. */
  done(): number
  /** Steps there are; 0 before the first. */
  total(): number
}

/** What a watch of the addon is from outside. */
export interface NativeWatch {
  /** A page of changes, as src/watch.ts reads it; or one of `watchCode`. */
  take(): Uint8Array | WatchCode | FailureData
  /** Reads what comes next from the journal. */
  readJournal(): Promise<boolean | FailureData>
  /** Calls back once, when there is something to take; until then the process stays alive. */
  wake(callback: () => void): void
  /** Ends it; what waits is not called back. */
  close(): void
}

/** A long job, from outside. */
export interface JobControl extends ProgressSource {
  /** Makes it end with ERR_COPPICE_ABORTED at its next step. */
  cancel(): void
}

/** What a key or a value may be when it is handed over; the addon looks, and says DOUBTFUL of anything else. */
export type Argument = string | Uint8Array

/** The hot functions that write. */
export interface Writes {
  put(database: number, tree: number, key: Argument, value: Argument, condition: ConditionKind, version: number): number
  delete(database: number, tree: number, key: Argument, condition: ConditionKind, version: number): number
  rename(database: number, tree: number, from: Argument, to: Argument, overwrite: number): number
  movePrefix(database: number, tree: number, from: Argument, to: Argument): number
  clonePrefix(database: number, tree: number, from: Argument, to: Argument): number
  deletePrefix(database: number, tree: number, prefix: Argument): number
  /** Puts all parts, a key and its value in turns, or none where it doubts one. */
  putMany(database: number, tree: number, parts: Parts): number
  /** A batch, encoded as src/operations.ts does: its version, or REFUSED and which operation did not hold. */
  commit(database: number, bytes: Uint8Array, length: number, count: number): number
}

/** Something that happened in a database: exactly one of these is there. */
export interface EventData {
  checkpoint?: CheckpointData
  waitedMs?: number
  failure?: FailureData
}

export interface Binding extends Writes {
  // Control plane.
  open(folder: string, options: OpenData): number | FailureData
  openAsync(folder: string, options: OpenData, progress: ProgressSource): Promise<number | FailureData>
  /** Of an opening, in bytes of journal. */
  OpenProgress: new () => ProgressSource
  salvage(source: string, destination: string, control: JobControl): Promise<SalvageData | FailureData>
  openInMemory(): number | FailureData
  tree(database: number, name: string): number | FailureData
  dropTree(database: number, name: string): boolean | FailureData
  trees(database: number): string[] | FailureData
  stats(database: number): StatsData | FailureData
  close(database: number): boolean | FailureData
  flush(database: number): Promise<boolean | FailureData>
  /** Waits for what was written before the call; where the durability is 'none', not at all. */
  persist(database: number): Promise<boolean | FailureData>
  checkpoint(database: number): Promise<CheckpointData | FailureData>
  verify(database: number, control: JobControl): Promise<VerifyData | FailureData>
  backup(database: number, destination: string, control: JobControl): Promise<boolean | FailureData>
  /** How many bytes were given back. */
  compact(database: number, control: JobControl): Promise<number | FailureData>
  JobControl: new () => JobControl
  watch(
    database: number,
    tree: number,
    keysAsBytes: boolean,
    prefix: Uint8Array,
    after: number | undefined,
  ): NativeWatch | FailureData
  /** A snapshot's handle is a database's to `tree` and to the hot functions that read. */
  snapshot(database: number): SnapshotData | FailureData
  closeSnapshot(snapshot: number): boolean | FailureData
  /**
   * A handle for the hot functions that read, which answer NOT_IN_MEMORY then where they would have to wait for the disk.
   * `arrived` is called when something has come in that was waited for.
   */
  resident(database: number, arrived: () => void): number | FailureData
  /** Has what the hot call lacked that was made last, with this handle, read in. `again`: the ticket has waited before. */
  fetch(resident: number, ticket: number, again: boolean): boolean | FailureData
  /** What has come in. */
  takeArrivals(resident: number): ArrivalData[] | FailureData
  closeAsync(database: number): Promise<boolean | FailureData>
  takeFailure(): FailureData | null
  /** Calls `listener` with each event, until the database is closed. */
  listen(database: number, listener: (event: EventData) => void): boolean | FailureData
  unlisten(database: number): boolean | FailureData
  /** What recovery did at the opening, once; null where there was nothing to do. */
  takeRecovery(database: number): { records: number; bytes: number; durationMs: number } | null | FailureData

  /** The writes, without waiting for the disk in any mode: `persist` does. */
  readonly unsettled: Writes

  // Hot functions.
  /** `slab` is the whole of its memory, and is used again by the next call, as a rule: another one costs a call more. */
  get(database: number, tree: number, key: Argument, slab: Uint8Array, offset: number): number
  getInto(database: number, tree: number, key: Argument, slab: ArrayBuffer, offset: number): number
  record(database: number, tree: number, key: Argument, slab: ArrayBuffer, offset: number): number
  longestPrefix(
    database: number,
    tree: number,
    keysAsBytes: 0 | 1,
    key: Argument,
    slab: ArrayBuffer,
    offset: number,
  ): number
  has(database: number, tree: number, key: Argument): number
  count(database: number, tree: number, prefix: Argument): number
  isEmpty(database: number, tree: number, prefix: Argument): number
  /** How many of the keys were answered; a length or -1 of each is in the word that said the key's. */
  getMany(database: number, tree: number, keys: Parts, slab: ArrayBuffer, offset: number): number
  /** A page: its keys end to end; a code where it failed. */
  scan(
    database: number,
    tree: number,
    flags: number,
    limit: number,
    figures: ArrayBuffer,
    slab: ArrayBuffer,
    offset: number,
    prefix: Argument,
    lower: Argument,
    upper: Argument,
  ): string | number
  /** A page: its keys and prefixes end to end; a code where it failed. */
  list(
    database: number,
    tree: number,
    flags: number,
    limit: number,
    figures: ArrayBuffer,
    slab: ArrayBuffer,
    offset: number,
    prefix: Argument,
    delimiter: Argument,
    after: Argument,
    resume: Argument,
  ): string | number
}

/** No record, or the condition did not hold. */
export const ABSENT = -1
/** A key or value needs a closer look: it is refused, or handed over again as plain bytes. */
export const DOUBTFUL = -3
/** It would have to be read from disk, by one of the engine's threads. */
export const NOT_IN_MEMORY = -4
/** At or below this, `TOO_SMALL - code` is how many bytes the value needs; the room given has fewer. */
export const TOO_SMALL = -16

/** At or below this, the condition of a batch's operation `REFUSED - code` did not hold. */
export const REFUSED = -16

/** When a put or a delete takes effect. `ifPresent` is for batches only. */
export const conditionKind = { always: 0, ifAbsent: 1, ifVersion: 2, ifPresent: 3 } as const

export type ConditionKind = (typeof conditionKind)[keyof typeof conditionKind]

/** Why a watch has no page: nothing so far; it is to be read from the journal; the database was closed. */
export const watchCode = { nothing: 0, journal: 1, closed: 2 } as const

export type WatchCode = (typeof watchCode)[keyof typeof watchCode]

/** What a page is asked to hold and where it starts. */
export const pageFlag = {
  lower: 1,
  lowerExclusive: 2,
  upper: 4,
  upperExclusive: 8,
  values: 16,
  keysAsBytes: 32,
  after: 64,
  resumeKey: 128,
  resumePrefix: 256,
  reverse: 512,
} as const

/** What was waited for has come in, or failed. */
export interface ArrivalData {
  ticket: number
  failure?: FailureData
}

/** The addon. */
export const native: Binding = withNumbers(loadBinding() as Addon)
