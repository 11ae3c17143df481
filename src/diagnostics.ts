/**
 * What happens inside a database by itself, published on channels of `node:diagnostics_channel`. Nothing is asked of the
 * addon while nobody subscribes, and nothing polls: subscribers are looked for when a database is opened and at some calls.
 */

import { type Channel, channel } from 'node:diagnostics_channel'
import type { Connection } from './connection.js'
import type { CheckpointReport } from './database.js'
import { type CoppiceError, errorOf } from './errors.js'
import { type EventData, native } from './native/binding.js'

/**
 * Published on the channel `coppice:checkpoint` when a checkpoint is on disk: those that happen by themselves too, within 50
 * milliseconds then.
 */
export interface CheckpointMessage {
  /** The database's path. */
  path: string
  report: CheckpointReport
}

/** Published on the channel `coppice:recovery` when a database was opened whose journal had to be read. */
export interface RecoveryMessage {
  /** The database's path. */
  path: string
  /** Records of the journal that were applied. */
  records: number
  /** Bytes of journal that were read. */
  bytes: number
  durationMs: number
}

/**
 * Published on the channel `coppice:backpressure` when a write has waited, because the journal was past twice
 * `checkpoint.journalBytes`, or too much of `memory` had changed since the last checkpoint.
 */
export interface BackpressureMessage {
  /** The database's path. */
  path: string
  /** Milliseconds. */
  waitedMs: number
}

/**
 * Published on the channel `coppice:error` when a checkpoint has failed (the disk is full: ERR_COPPICE_NO_SPACE), and when a
 * failure has made the database read-only.
 */
export interface ErrorMessage {
  /** The database's path. */
  path: string
  error: CoppiceError
}

const channels = {
  checkpoint: channel('coppice:checkpoint'),
  recovery: channel('coppice:recovery'),
  backpressure: channel('coppice:backpressure'),
  error: channel('coppice:error'),
}

const publish = <Message>(to: Channel, message: Message): void => to.publish(message)

/** Whether anybody wants what an open database has to tell. */
function areWanted(): boolean {
  return channels.checkpoint.hasSubscribers || channels.backpressure.hasSubscribers || channels.error.hasSubscribers
}

/** One handle's events. */
export class Diagnostics {
  readonly #connection: Connection
  #listening = false

  /** Of a database that was opened just now. */
  constructor(connection: Connection) {
    this.#connection = connection
    if (channels.recovery.hasSubscribers) this.#tellRecovery()
    this.look()
  }

  #tellRecovery(): void {
    const { path, handle } = this.#connection
    const recovery = this.#connection.resultOf(native.takeRecovery(handle))
    if (recovery !== null) publish<RecoveryMessage>(channels.recovery, { path, ...recovery })
  }

  /** Begins to listen where somebody has subscribed. There is no way to be told of that. */
  look(): void {
    if (this.#listening || !areWanted()) return
    this.#connection.resultOf(native.listen(this.#connection.handle, (event) => this.#tell(event)))
    this.#listening = true
  }

  #tell({ checkpoint, waitedMs, failure }: EventData): void {
    const { path } = this.#connection
    if (checkpoint !== undefined) publish<CheckpointMessage>(channels.checkpoint, { path, report: checkpoint })
    if (waitedMs !== undefined) publish<BackpressureMessage>(channels.backpressure, { path, waitedMs })
    if (failure !== undefined) publish<ErrorMessage>(channels.error, { path, error: errorOf(failure, path) })
    if (!areWanted() && this.#connection.open) {
      native.unlisten(this.#connection.handle)
      this.#listening = false
    }
  }
}
