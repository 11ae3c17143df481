// Databases for tests: closed, and their folders removed, when the test ends.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { ExecutionContext } from 'ava'
import { CoppiceError, type CoppiceErrorCode, type Database, open } from 'coppice'

/** A folder of the test's own. */
export async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'coppice-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A volatile database. */
export function volatile(t: ExecutionContext): Database {
  const db = open(':memory:')
  t.teardown(() => db.close())
  return db
}

/** Passes where `action` throws a CoppiceError of this code, whose message matches. */
export function throwsCode(t: ExecutionContext, action: () => unknown, code: CoppiceErrorCode, message?: RegExp): void {
  t.throws(action, { instanceOf: CoppiceError, code, ...(message && { message }) })
}

/** Passes where `action` rejects with a CoppiceError of this code; the error. */
export function rejectsCode(
  t: ExecutionContext,
  action: () => Promise<unknown>,
  code: CoppiceErrorCode,
): Promise<CoppiceError | undefined> {
  return t.throwsAsync(action, { instanceOf: CoppiceError, code })
}
