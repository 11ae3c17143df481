/** Damaged databases, rebuilt from what is left of them. */

import { checkDestination, checkOptions, checkPath } from './check.js'
import { resultOf } from './connection.js'
import { checkJobOptions, JOB_OPTIONS, type Progress, runControlled } from './job.js'
import { native } from './native/binding.js'

/**
 * Keys whose records {@link salvage} could not keep: of those in the damaged database that begin with `first`, with `last`, or
 * that lie between the two.
 */
export interface LostKeys {
  /** Absent where it is not known which tree they were in, or where they were in several; then `first` and `last` are empty. */
  tree?: string
  /** Bytes. Where one record's large value was lost, this and `last` are its whole key. */
  first: Buffer
  last: Buffer
  /** How many they were, as far as that is known. */
  records: number
}

/** What {@link salvage} kept and lost. */
export interface SalvageReport {
  /** Whether nothing is wrong with the damaged database: `problems` is empty, and everything was kept. */
  ok: boolean
  /**
   * The last commit of the damaged database that the trees of the new one show, less what was lost. Absent where the slot map is
   * damaged so that it does not say which that is.
   */
  version?: number
  /** Trees of the new database, but for `lostAndFound`. */
  trees: number
  /** Records in them. */
  keys: number
  /** The name of the tree of what is sound and has no place; absent where there is nothing of the kind. */
  lostAndFound?: string
  /** Records in it. */
  unplaced: number
  /** Frames that could not be read. */
  lostFrames: number
  /** Large values that could not be read. */
  lostValues: number
  /** What was lost, as far as its place is known: 10,000 entries at most. */
  lost: LostKeys[]
  /** Everything that is wrong with the damaged database, as in a {@link VerifyReport}: 10,000 at most, and one that says how many more. */
  problems: { file: string; offset: number; what: string }[]
}

/**
 * Rebuilds a damaged database in a new folder from what still passes its checks. Of the damaged one no byte is changed; it
 * may lie on a medium that takes no writes, and must not be open to write.
 *
 * The trees of the new database hold what those of the damaged one held as of one commit, `version`, less what was lost, and
 * nothing else: never a value of another key, and none from before. That commit is the last one, unless part of the journal is
 * lost; then it is the last one before that. What is sound too goes to a tree of its own, `lostAndFound`, under these keys:
 *
 * - `frame-<number>/…` where the frame above is lost, and with it how keys begin: the rest of the key;
 * - `value-<number>` where a large value's record is lost;
 * - `journal/<tree>/…` where commits before are lost: what was put since;
 * - `old/<tree>/…` where part of the slot map is lost: these may be out of date, or deleted.
 *
 * A tree whose name is lost is called `tree-<number>`. Versions are new. Where the whole slot map is lost (`map-*.log`), frames
 * cannot be found any more, and what the journal has is all that is kept.
 *
 * `destination` is a path at which there is nothing (its parent folder exists) or an empty folder; it is no database before all
 * of it is on disk, and after a failure nothing of it is left. Runs off the event loop; progress is told in blobs.
 *
 * Rejects with ERR_COPPICE_NOT_FOUND where there is nothing of a database at `source`, or the destination's parent folder is
 * missing; ERR_COPPICE_CORRUPT where no file there says any more which database it was; ERR_COPPICE_LOCKED while somebody
 * writes to it; ERR_COPPICE_INVALID_ARGUMENT for a destination that is not empty, or lies inside the source;
 * ERR_COPPICE_IO, also where a file of the damaged database is there and cannot be opened, which is no damage (a copy of the folder
 * without that file can be salvaged); ERR_COPPICE_INCOMPATIBLE_FORMAT, ERR_COPPICE_NO_SPACE, ERR_COPPICE_ABORTED.
 *
 * @example
 * const { ok, keys, lost } = await salvage('catalog.db', 'rescued.db')
 */
export async function salvage(
  source: string,
  destination: string,
  options?: { signal?: AbortSignal; onProgress?: (progress: Progress) => void },
): Promise<SalvageReport> {
  checkPath('source', source)
  checkDestination(destination)
  const checked = checkOptions('salvage options', options, JOB_OPTIONS)
  checkJobOptions(checked)
  const what = `salvage of the database '${source}'`
  const control = new native.JobControl()
  const start = () => native.salvage(source, destination, control)
  const data = resultOf(await runControlled(what, 'blobs', checked, control, start), source)
  return { ok: data.problems.length === 0, ...data }
}
