// A queue of jobs that worker threads share, and an index of it that never disagrees with it.
//
//   node examples/job-queue.mjs
//
// Threads that open the same folder share one database; here one thread plays all parts.

import { open } from 'coppice'

const db = open(':memory:')
const counters = db.tree('counters', { encoding: 'json' })
const jobs = db.tree('jobs', { encoding: 'json' })
const byOwner = db.tree('jobs by owner', { encoding: 'utf8' })

/** Gives a job the next number. If another thread took that one meanwhile, the function just runs again. */
function submit(owner, work) {
  return db.transact((tx) => {
    const number = (tx.get(counters, 'last job') ?? 0) + 1
    const key = `waiting/${String(number).padStart(8, '0')}`
    tx.put(counters, 'last job', number)
    tx.put(jobs, key, { owner, work })
    tx.put(byOwner, `${owner}/${number}`, key)
    return number
  })
}

/** Claims the oldest job that waits. The rename fails, and with it the batch, if somebody else has it already. */
function claim(worker) {
  for (const key of jobs.keys({ prefix: 'waiting/', limit: 10 })) {
    const { owner } = jobs.get(key) ?? {}
    const taken = key.replace('waiting/', `${worker}/`)
    const number = Number(key.slice('waiting/'.length))
    const result = db.batch().rename(jobs, key, taken).put(byOwner, `${owner}/${number}`, taken).commit()
    if (result.committed) return taken
  }
  return undefined
}

try {
  console.log(submit('ann', 'resize'), submit('bob', 'scan'), submit('ann', 'index'))
  console.log(claim('worker-1'), claim('worker-2'))
  console.log(jobs.count('waiting/'))
  for (const [job, key] of byOwner.entries({ prefix: 'ann/' })) console.log(job, key, jobs.get(key).work)
} finally {
  db.close()
}
