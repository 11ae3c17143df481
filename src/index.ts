/** The package's public names. */

export type { Batch, BatchResult } from './batch.js'
export type { Codec } from './codec.js'
export type { CheckpointReport, Database, DatabasePromises, DatabaseStats } from './database.js'
export { CoppiceError, type CoppiceErrorCode } from './errors.js'
export type { Range } from './iterate.js'
export type { Bytes, Key } from './key.js'
export type { Listing, ListOptions } from './list.js'
export { type OpenAsyncOptions, type OpenOptions, open, openAsync } from './open.js'
export type { Promised, TreePromises } from './promises.js'
export type { Entry, Reader } from './reader.js'
export type { Transaction, TransactOptions } from './transaction.js'
export type { Condition, RenameOptions, Tree } from './tree.js'
