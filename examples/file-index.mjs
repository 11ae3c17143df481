// An index of a directory tree that answers "what is in here, and how big is it" without touching the tree again.
//
//   node examples/file-index.mjs <folder>

import { lstatSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { open } from 'coppice'

const folder = process.argv[2] ?? '.'

/** Every path below the folder, directories with a slash at the end, as key and value. */
function* walk(directory, prefix = '') {
  for (const name of readdirSync(directory)) {
    const stats = lstatSync(path.join(directory, name))
    const key = prefix + name + (stats.isDirectory() ? '/' : '')
    yield [key, { size: stats.size, modified: stats.mtimeMs }]
    if (stats.isDirectory()) yield* walk(path.join(directory, name), key)
  }
}

// ':memory:' keeps nothing; a path would.
const db = open(':memory:')
try {
  const files = db.tree('files', { encoding: 'json' })
  files.putMany(walk(folder))
  console.log(`${files.count()} paths`)

  // Listings come in pages: `next` leads to the one after.
  let token
  do {
    const page = files.list({ delimiter: '/', values: true, ...(token && { token }) })
    for (const prefix of page.prefixes) console.log(`${prefix}  ${files.count(prefix) - 1} paths below`)
    for (const [i, key] of page.keys.entries()) console.log(`${key}  ${page.values[i].size} bytes`)
    token = page.next
  } while (token !== undefined)
} finally {
  db.close()
}
