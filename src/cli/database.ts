/** Opens databases for the commands, and closes them whatever happens. */

import { type Database, open, type Tree } from '../index.js'

/** Keys as bytes, so that names which are not UTF-8 are kept as they are. */
export type FileTree = Tree<Buffer, string | Uint8Array, Buffer>

/** Every command works on the default tree. */
export function fileTree(database: Database): FileTree {
  return database.tree('', { keys: 'buffer' })
}

/**
 * Runs `use` on a database that must exist already, and is only read. Where both `use` and the close fail, the first failure is the one
 * reported.
 */
export function withDatabase<T>(path: string, use: (database: Database) => T): T {
  const database = open(path, { readOnly: true })
  let result: T
  try {
    result = use(database)
  } catch (error) {
    closeQuietly(database)
    throw error
  }
  database.close()
  return result
}

/** As {@link withDatabase}, for what takes long. `how` says whether the database is only read. */
export async function withDatabaseAsync<T>(
  path: string,
  how: { readOnly: boolean },
  use: (database: Database) => Promise<T>,
): Promise<T> {
  const database = open(path, { create: false, ...how })
  let result: T
  try {
    result = await use(database)
  } catch (error) {
    closeQuietly(database)
    throw error
  }
  await database.promises.close()
  return result
}

/** Closes a database after a failure that is being reported already. */
export function closeQuietly(database: Database): void {
  try {
    database.close()
  } catch {
    // The first failure says more than what follows from it.
  }
}
