// Databases for tests: closed, and their folders removed, when the test ends.

import { createHash } from 'node:crypto'
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { CoppiceError, type CoppiceErrorCode, type Database, open } from 'coppice'

/** A folder of the test's own. */
export async function temporaryFolder(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'coppice-'))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
  return folder
}

/** A database in a folder of its own, beside which there is nothing. */
export async function stored(t: ExecutionContext): Promise<Database> {
  const db = open(path.join(await temporaryFolder(t), 'db'))
  t.teardown(() => db.close())
  return db
}

/** A volatile database. */
export function volatile(t: ExecutionContext): Database {
  const db = open(':memory:')
  t.teardown(() => db.close())
  return db
}

/** Checkpoints, and waits until the journal's thread has made the next segment: from then on no file changes by itself. */
export async function comeToRest(db: Database): Promise<void> {
  await db.checkpoint()
  for (;;) {
    const segments = (await readdir(db.path)).filter((name) => name.startsWith('journal-'))
    if (segments.length > 1 && segments.every((name) => name.endsWith('.log'))) return
    await setTimeout(5)
  }
}

/** Copies the folder of a database that may be open, without what its threads are just making. */
export async function copyDatabase(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true, filter: (file) => !file.endsWith('.tmp') })
}

/** What each file of a folder holds. */
export async function digests(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const name of (await readdir(folder)).sort()) {
    found[name] = createHash('sha256')
      .update(await readFile(path.join(folder, name)))
      .digest('hex')
  }
  return found
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

/** The same of a job that `begin` calls off as soon as it has begun: again where another thread had it done before that. */
export async function calledOff(
  t: ExecutionContext,
  begin: () => Promise<unknown>,
  code: CoppiceErrorCode,
): Promise<CoppiceError | undefined> {
  const hasFailed = (job: Promise<unknown>) =>
    job.then(
      () => false,
      () => true,
    )
  let job = begin()
  for (let attempt = 0; attempt < 20 && !(await hasFailed(job)); attempt++) job = begin()
  return rejectsCode(t, () => job, code)
}
