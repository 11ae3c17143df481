// What the compiler makes of databases: options, batches, transactions, reports, errors. Checked by tsc; nothing here runs.

import {
  type Batch,
  type BatchResult,
  type Bytes,
  type CheckpointReport,
  CoppiceError,
  type CoppiceErrorCode,
  type Database,
  open,
  openAsync,
  type Progress,
  type Reader,
  type Snapshot,
  type Transaction,
  type Tree,
  type VerifyReport,
} from 'coppice'
import { expectTypeOf } from 'expect-type'

declare const db: Database
declare const bytes: Tree<Buffer, Bytes>
declare const counters: Tree<number>
declare const byBytes: Tree<Buffer, Bytes, Buffer>

export function opening(): void {
  expectTypeOf(open('folder')).toEqualTypeOf<Database>()
  expectTypeOf(openAsync('folder', { signal: AbortSignal.timeout(1) })).toEqualTypeOf<Promise<Database>>()
  open('folder', { durability: 'disk', syncInterval: 10, checkpoint: { journalBytes: '64MiB', ioUring: 'auto' } })
  open('folder', { checkpoint: { queueDepth: 4, coalesce: { epochs: 8, windowMicros: 0 }, ioUring: false } })
  open('folder', { readOnly: true })
  // @ts-expect-error: no such durability
  open('folder', { durability: 'always' })
  // @ts-expect-error: no such option
  open('folder', { cache: 1 })
  // @ts-expect-error: a synchronous open cannot be called off
  open('folder', { signal: AbortSignal.timeout(1) })
  // @ts-expect-error: paths are text
  open(new URL('file:///folder'))
}

export function databasesCanBeDisposedOf(): void {
  expectTypeOf<Database>().toExtend<Disposable>()
  expectTypeOf<Database>().toExtend<AsyncDisposable>()
  expectTypeOf(db.close()).toEqualTypeOf<void>()
  expectTypeOf(db.promises.close()).toEqualTypeOf<Promise<void>>()
}

export function jobsReport(): void {
  expectTypeOf(db.flush()).toEqualTypeOf<Promise<void>>()
  expectTypeOf(db.checkpoint()).toEqualTypeOf<Promise<CheckpointReport>>()
  const { signal } = new AbortController()
  expectTypeOf(db.verify({ signal, onProgress: ({ done, total, unit }) => `${done / total} ${unit}` })).toEqualTypeOf<
    Promise<VerifyReport>
  >()
  expectTypeOf(db.metrics()).toEqualTypeOf<string>()
  expectTypeOf(db.stats().checkpoint.lastError).toEqualTypeOf<string | undefined>()
  // @ts-expect-error: progress is told in numbers
  void db.verify({ onProgress: ({ done }: { done: string }) => done })
}

export function aBatchTakesWhatEachTreeTakes(): void {
  const batch = db.batch()
  expectTypeOf(batch.put(counters, 'k', 1)).toEqualTypeOf<Batch>()
  const chained = batch
    .put(bytes, 'k', 'text')
    .delete(byBytes, Buffer.from('k'), { ifVersion: 1 })
    .assertEmpty(bytes, 'p/')
  expectTypeOf(chained.commit()).toEqualTypeOf<BatchResult>()
  expectTypeOf(chained.commitDurable()).toEqualTypeOf<Promise<BatchResult>>()
  // @ts-expect-error: this tree takes numbers
  batch.put(counters, 'k', 'one')
  // @ts-expect-error: a tree comes first
  batch.delete('k')
  // @ts-expect-error: renames have no condition
  batch.rename(bytes, 'a', 'b', { ifAbsent: true })
}

export function aBatchSaysHowItEnded(result: BatchResult): number {
  if (result.committed) {
    // @ts-expect-error: nothing failed
    result.failed
    return result.version
  }
  // @ts-expect-error: nothing was committed
  result.version
  return result.failed
}

export function aTransactionReturnsWhatItsFunctionDoes(): void {
  const total = db.transact(
    (tx) => {
      expectTypeOf(tx).toEqualTypeOf<Transaction>()
      expectTypeOf(tx.get(counters, 'k')).toEqualTypeOf<number | undefined>()
      expectTypeOf(tx.get(byBytes, 'k')).toEqualTypeOf<Buffer | undefined>()
      tx.put(bytes, 'k', 'text')
      // @ts-expect-error: this tree takes numbers
      tx.put(counters, 'k', 'one')
      return 7
    },
    { retries: 3 },
  )
  expectTypeOf(total).toEqualTypeOf<number>()
  // @ts-expect-error: no such option
  db.transact(() => 1, { timeout: 3 })
}

export function aSnapshotReads(): void {
  using snapshot = db.snapshot()
  expectTypeOf(snapshot).toEqualTypeOf<Snapshot>()
  expectTypeOf(snapshot.tree()).toEqualTypeOf<Reader<Buffer>>()
  expectTypeOf(snapshot.tree('t', { encoding: 'utf8' })).toEqualTypeOf<Reader<string>>()
  expectTypeOf(snapshot.tree<number>('t', { encoding: 'json' })).toEqualTypeOf<Reader<number>>()
  expectTypeOf(snapshot.tree('t', { keys: 'buffer' })).toEqualTypeOf<Reader<Buffer, Buffer>>()
  // @ts-expect-error: it takes no writes
  snapshot.tree().put('k', 'v')
  // @ts-expect-error: so its trees are none to a batch
  db.batch().put(snapshot.tree(), 'k', 'v')
  expectTypeOf(db.stats().snapshots).toEqualTypeOf<{ open: number; oldestVersion?: number; pinnedBlobs: number }>()
}

export async function aCompactionSaysWhatItFreed(): Promise<void> {
  expectTypeOf(await db.compact({ signal: AbortSignal.timeout(1) })).toEqualTypeOf<{ bytesFreed: number }>()
}

export async function aBackupHasADestination(): Promise<void> {
  const onProgress = (progress: Progress) => expectTypeOf(progress.done).toEqualTypeOf<number>()
  expectTypeOf(await db.backup('folder', { signal: new AbortController().signal, onProgress })).toEqualTypeOf<void>()
  // @ts-expect-error: to where?
  await db.backup()
}

export function errorsHaveACode(error: unknown): string | undefined {
  if (!(error instanceof CoppiceError)) return undefined
  expectTypeOf(error).toExtend<Error>()
  expectTypeOf(error.code).toEqualTypeOf<CoppiceErrorCode>()
  // @ts-expect-error: there is no such code
  if (error.code === 'ERR_COPPICE_OTHER') return undefined
  // @ts-expect-error: it stays what it is
  error.code = 'ERR_COPPICE_IO'
  return error.message
}
