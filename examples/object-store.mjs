// An index of the objects in a bucket: listings as S3 gives them, counts, and writes that only happen once.

import { open } from 'coppice'

const db = open('catalog.db')
const objects = db.tree('objects', { encoding: 'json' })

objects.putMany([
  ['photos/2024/beach.jpg', { size: 182_044 }],
  ['photos/2024/forest.jpg', { size: 96_310 }],
  ['photos/2025/river.jpg', { size: 204_981 }],
  ['photos/index.html', { size: 1_280 }],
])

// One level of the hierarchy, whatever lies below it.
const page = objects.list({ prefix: 'photos/', delimiter: '/' })
console.log(page.prefixes) // [ 'photos/2024/', 'photos/2025/' ]
console.log(page.keys) // [ 'photos/index.html' ]

// Counting does not visit the keys.
console.log(objects.count('photos/2024/')) // 2

// A write that happens only if nobody came first, and one only if nobody came in between.
const version = objects.put('photos/2025/lake.jpg', { size: 77_000 }, { ifAbsent: true })
console.log(objects.put('photos/2025/lake.jpg', { size: 1 }, { ifAbsent: true })) // undefined
objects.put('photos/2025/lake.jpg', { size: 77_120 }, { ifVersion: version })

for (const [key, { size }] of objects.entries({ prefix: 'photos/2025/' })) console.log(key, size)
// photos/2025/lake.jpg 77120
// photos/2025/river.jpg 204981

await db.flush() // on disk, power cut or not
db.close()
