/** The package's one error class, and the only place where a failure becomes one. */

/** Every `code` that a {@link CoppiceError} of this version has. */
export type CoppiceErrorCode =
  /** The database was closed, or the iterator's was; or the batch or transaction has ended. */
  | 'ERR_COPPICE_CLOSED'
  /** Another process has the database open; or it is open for reading only and was to be written to, or the other way round. */
  | 'ERR_COPPICE_LOCKED'
  /** There is no database at the path and `create: false` was given, or the path's parent folder is missing. */
  | 'ERR_COPPICE_NOT_FOUND'
  /**
   * The database was opened with `readOnly`; or it takes no writes any more, after a write or a sync of its files failed: close
   * and open it again.
   */
  | 'ERR_COPPICE_READ_ONLY'
  /** An argument or option is not of the type, form or range that it must be; nothing was done. */
  | 'ERR_COPPICE_INVALID_ARGUMENT'
  /** A key of more than 8,192 bytes; nothing was done. */
  | 'ERR_COPPICE_KEY_TOO_LARGE'
  /** A value of more than 16 MiB (16,777,216 bytes), or of more than a quarter of `memory`; nothing was done. */
  | 'ERR_COPPICE_VALUE_TOO_LARGE'
  /** A batch of more than 64 MiB (67,108,864 bytes), or one that changes more than `memory` can hold; nothing was done. */
  | 'ERR_COPPICE_BATCH_TOO_LARGE'
  /** There are keys where a prefix was to be moved to; nothing was done. */
  | 'ERR_COPPICE_NOT_EMPTY'
  /** The tree was dropped, by this or another thread. `Database.tree` makes a new one of its name. */
  | 'ERR_COPPICE_TREE_DROPPED'
  /** Each run of a transaction was in conflict with others' writes; nothing was done. */
  | 'ERR_COPPICE_CONFLICT'
  /** A watcher was too slow: what it was not told yet is not in the journal any more. Read the tree, and watch anew. */
  | 'ERR_COPPICE_FELL_BEHIND'
  /** Bytes on disk fail their check. The message names the file and the place. */
  | 'ERR_COPPICE_CORRUPT'
  /** The database's files are of a format that this version does not read. */
  | 'ERR_COPPICE_INCOMPATIBLE_FORMAT'
  /** The operating system refused a read, a write or a sync; `cause` has its words. */
  | 'ERR_COPPICE_IO'
  /**
   * The disk is full; nothing was done. Reads go on, and writes do when there is space again. Or all of `memory` is in use at
   * once.
   */
  | 'ERR_COPPICE_NO_SPACE'
  /** A write is visible, but whether it is durable is not known. */
  | 'ERR_COPPICE_OUTCOME_UNKNOWN'
  /** The AbortSignal that was given said so; `cause` is its reason. */
  | 'ERR_COPPICE_ABORTED'
  /** What was asked for is not available on this platform or file system; or there is no addon for the platform. */
  | 'ERR_COPPICE_UNSUPPORTED'
  /** A defect of this package. Please report it. */
  | 'ERR_COPPICE_INTERNAL'

/**
 * Every error that the package throws or rejects with, save for those of your own code: what a codec, an iterable or
 * `JSON` throws reaches you unchanged.
 *
 * Decide on `code`, which is stable; show `message`, which names the option, path, tree or key concerned and may be
 * reworded in any version. `cause` is the underlying error, where there is one.
 */
export class CoppiceError extends Error {
  readonly code: CoppiceErrorCode

  constructor(code: CoppiceErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

// On the prototype, as the built-in classes have it, so that it is no own property of each error.
Object.defineProperty(CoppiceError.prototype, 'name', { value: 'CoppiceError', writable: true, configurable: true })

/** A failure as the addon reports it. */
interface Failure {
  code: CoppiceErrorCode
  message: string
  cause?: string
}

/** Makes the error of a failure that concerns the database at `path`. */
export function errorOf(failure: Failure, path: string): CoppiceError {
  const cause = failure.cause === undefined ? {} : { cause: new Error(failure.cause) }
  return new CoppiceError(failure.code, messageOf(failure, path), cause)
}

/** What the engine says, with the database named: it speaks of files by their names in the folder. */
function messageOf({ code, message }: Failure, path: string): string {
  if (code === 'ERR_COPPICE_CLOSED') return `The database '${path}' is closed`
  if (code === 'ERR_COPPICE_INVALID_ARGUMENT' || message.includes(path)) return message
  return `The database '${path}': ${message}`
}

/** What a signal has called off; `what` begins the message. */
export function aborted(what: string, signal: AbortSignal | undefined): CoppiceError {
  return new CoppiceError('ERR_COPPICE_ABORTED', `${what} was aborted`, { cause: signal?.reason })
}

/** An argument or option that cannot be. */
export function invalid(message: string): CoppiceError {
  return new CoppiceError('ERR_COPPICE_INVALID_ARGUMENT', message)
}
