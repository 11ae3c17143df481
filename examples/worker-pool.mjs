// Worker threads that share one database: each opens the same folder, claims jobs, and writes results that are on disk
// before a job counts as done. A worker that is lost loses no job.
//
//   node examples/worker-pool.mjs [folder]

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMainThread, threadId, Worker, workerData } from 'node:worker_threads'
import { open } from 'coppice'

const WORKERS = 3
const JOBS = 300

/** Claims the first job that waits; undefined where none does. Another thread may come first: then it is tried again. */
function claim(db, jobs, worker) {
  return db.transact(
    (tx) => {
      for (const key of jobs.keys({ prefix: 'waiting/', limit: 1 })) {
        const work = tx.get(jobs, key)
        if (work === undefined) continue
        const claimed = key.replace('waiting/', `claimed/${worker}/`)
        tx.delete(jobs, key)
        tx.put(jobs, claimed, work)
        return { key: claimed, work }
      }
      return undefined
    },
    { retries: 1000 },
  )
}

async function work(folder) {
  const db = open(folder)
  const jobs = db.tree('jobs', { encoding: 'json' })
  const results = db.tree('results', { encoding: 'json' })
  const unsettled = []
  while (jobs.count('waiting/') > 0) {
    const job = claim(db, jobs, threadId)
    if (job === undefined) continue
    // Result and end of the job together; many of these share one sync.
    const done = db
      .batch()
      .put(results, `${job.work.number}`, job.work.number ** 2)
      .delete(jobs, job.key)
    unsettled.push(done.commitDurable())
  }
  await Promise.all(unsettled)
  db.close()
}

async function main(folder) {
  const db = open(folder)
  const jobs = db.tree('jobs', { encoding: 'json' })
  const results = db.tree('results', { encoding: 'json' })
  jobs.putMany(Array.from({ length: JOBS }, (_, number) => [`waiting/${String(number).padStart(6, '0')}`, { number }]))

  /** Jobs of workers that are gone go back to the others. */
  const release = (worker) => {
    for (const key of [...jobs.keys({ prefix: `claimed/${worker}/` })]) {
      jobs.rename(key, key.replace(`claimed/${worker}/`, 'waiting/'))
    }
  }
  const run = () =>
    new Promise((resolve, reject) => {
      const worker = new Worker(fileURLToPath(import.meta.url), { workerData: folder })
      const { threadId: id } = worker
      worker.on('error', reject)
      worker.on('exit', () => {
        release(id)
        resolve()
      })
    })
  await Promise.all(Array.from({ length: WORKERS }, run))
  // What a lost worker had claimed is waiting again.
  while (jobs.count('waiting/') > 0) await run()

  let sum = 0
  for (const square of results.values()) sum += square
  console.log(`${results.count()} results, ${jobs.count()} jobs left, sum ${sum}`)
  db.close()
}

if (!isMainThread) {
  await work(workerData)
} else if (process.argv[2] !== undefined) {
  await main(process.argv[2])
} else {
  const folder = mkdtempSync(path.join(tmpdir(), 'worker-pool-'))
  try {
    await main(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
