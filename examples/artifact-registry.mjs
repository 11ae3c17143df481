// A registry of build artifacts: contents are stored once by their digest, versions point at them, and a version that was
// published is never another one.
//
//   node examples/artifact-registry.mjs

import { createHash } from 'node:crypto'
import { CoppiceError, open } from 'coppice'

const db = open(':memory:')
const contents = db.tree('contents')
const versions = db.tree('versions', { encoding: 'json' })
const tags = db.tree('tags', { encoding: 'utf8' })

/** Publishes a version and moves the tag `latest` to it, all or nothing; false where the version is taken. */
function publish(name, version, bytes) {
  const digest = createHash('sha256').update(bytes).digest('hex')
  const key = `${name}@${version}`
  const published = db
    .batch()
    .put(versions, key, { digest, size: bytes.length }, { ifAbsent: true })
    .put(contents, digest, bytes)
    .put(tags, `${name}/latest`, version)
    .commit()
  return published.committed
}

/** The bytes of a version, or of what a tag points at. */
function fetch(name, wanted) {
  const version = tags.get(`${name}/${wanted}`) ?? wanted
  const found = versions.get(`${name}@${version}`)
  return found && contents.get(found.digest)
}

/** The mirror that serves a name: the one registered under its longest prefix. */
const mirrors = db.tree('mirrors', { encoding: 'utf8' })
const mirrorOf = (name) => mirrors.longestPrefix(name)?.value

try {
  console.log(publish('web/core', '1.0.0', Buffer.from('one')), publish('web/core', '1.1.0', Buffer.from('two')))
  console.log(publish('web/core', '1.1.0', Buffer.from('something else')), contents.count())
  console.log(String(fetch('web/core', 'latest')), String(fetch('web/core', '1.0.0')), fetch('web/core', '2.0.0'))

  publish('web/router', '0.9.0', Buffer.from('one'))
  console.log(contents.count(), [...versions.keys({ prefix: 'web/' })].join(' '))

  mirrors.putMany([
    ['', 'https://registry.example'],
    ['web/', 'https://web.example'],
  ])
  console.log(mirrorOf('web/router'), mirrorOf('tools/lint'))

  // A whole namespace moves at once, whatever its size; nothing may be in the way.
  console.log(versions.movePrefix('web/', 'archive/web/'), versions.count('web/'))
  try {
    versions.put('web/core@2.0.0', { digest: '', size: 0 })
    versions.movePrefix('archive/web/', 'web/')
  } catch (error) {
    if (!(error instanceof CoppiceError)) throw error
    console.log(error.code)
  }
} finally {
  db.close()
}
