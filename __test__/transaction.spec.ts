import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { type Codec, CoppiceError, type Database, open, type Transaction, type Tree } from 'coppice'
import { temporaryFolder, throwsCode, volatile } from './support/database.js'

const worker = new URL('./fixtures/counter.mjs', import.meta.url)

function filled(t: ExecutionContext): { db: Database; tree: Tree<string> } {
  const db = volatile(t)
  const tree = db.tree('t', { encoding: 'utf8' })
  tree.put('a', '1')
  tree.put('dir/1', 'x')
  tree.put('dir/2', 'y')
  return { db, tree }
}

test('a transaction commits all that it wrote, under one version, and returns what fn returned', (t) => {
  const { db, tree } = filled(t)
  const other = db.tree('other', { encoding: 'json' })
  const result = db.transact((tx) => {
    const value = tx.get(tree, 'a')
    tx.put(tree, 'b', `${value}+`)
    tx.put(other, 'c', { from: value })
    tx.delete(tree, 'a')
    t.is(tree.get('a'), '1', 'nothing is written yet')
    return { value }
  })
  t.deepEqual(result, { value: '1' })
  t.is(tree.get('b'), '1+')
  t.false(tree.has('a'))
  t.deepEqual(other.record('c'), { value: { from: '1' }, version: tree.record('b')?.version as number })
})

test('fn sees its own writes', (t) => {
  const { db, tree } = filled(t)
  const bytes = db.tree('t')
  db.transact((tx) => {
    tx.put(tree, 'a', '2')
    t.is(tx.get(tree, 'a'), '2')
    t.is(tx.get(tree, Buffer.from('a')), '2')
    t.deepEqual(tx.get(bytes, 'a'), Buffer.from('2'))
    t.true(tx.has(tree, 'a'))
    tx.delete(tree, 'a')
    t.is(tx.get(tree, 'a'), undefined)
    t.false(tx.has(tree, 'a'))
    tx.put(tree, 'é', '3')
    t.is(tx.get(tree, Buffer.from('é')), '3')
    const large = Buffer.alloc(200_000, 7)
    tx.put(bytes, 'large', large)
    t.true(tx.get(bytes, 'large')?.equals(large))
  })
  t.deepEqual([...tree.keys()], ['dir/1', 'dir/2', 'large', 'é'])
})

test('what was put in a transaction does not change with the buffer it came from', (t) => {
  const db = volatile(t)
  const tree = db.tree()
  const value = Buffer.from('first')
  db.transact((tx) => {
    tx.put(tree, 'k', value)
    value.write('later')
    const read = tx.get(tree, 'k')
    t.is(String(read), 'first')
    read?.write('other')
    t.is(String(tx.get(tree, 'k')), 'first')
  })
  t.is(String(tree.get('k')), 'first')
})

test('isEmpty sees what was put and deleted', (t) => {
  const { db, tree } = filled(t)
  db.transact((tx) => {
    t.false(tx.isEmpty(tree, 'dir/'))
    t.true(tx.isEmpty(tree, 'none/'))
    tx.delete(tree, 'dir/1')
    t.false(tx.isEmpty(tree, 'dir/'))
    tx.delete(tree, 'dir/2')
    t.true(tx.isEmpty(tree, 'dir/'))
    t.true(tx.isEmpty(tree, Buffer.from('dir/')))
    t.false(tx.isEmpty(tree, ''))
    tx.put(tree, 'dir/3', '')
    t.false(tx.isEmpty(tree, 'dir/'))
    t.true(tx.isEmpty(tree, 'dir/1'))
  })
  t.deepEqual([...tree.keys()], ['a', 'dir/3'])
})

/** What fn may read, with the writes by others that make it wrong, and those that do not. */
const reads: [string, (tx: Transaction, tree: Tree<string>) => unknown, string, ('put' | 'delete')[], string][] = [
  ['a record', (tx, tree) => tx.get(tree, 'a'), 'a', ['put', 'delete'], 'b'],
  ['an absent record', (tx, tree) => tx.get(tree, 'none'), 'none', ['put'], 'b'],
  ['the presence of a key', (tx, tree) => tx.has(tree, 'a'), 'a', ['delete'], 'b'],
  ['the absence of a key', (tx, tree) => tx.has(tree, 'none'), 'none', ['put'], 'b'],
  ['an empty prefix', (tx, tree) => tx.isEmpty(tree, 'none/'), 'none/1', ['put'], 'b'],
  ['a prefix with one key', (tx, tree) => tx.isEmpty(tree, 'a'), 'a', ['delete'], 'b'],
  [
    'a prefix that its own deletes emptied',
    (tx, tree) => {
      tx.delete(tree, 'dir/1')
      tx.delete(tree, 'dir/2')
      return tx.isEmpty(tree, 'dir/')
    },
    'dir/3',
    ['put'],
    'dir/1',
  ],
]

for (const [name, read, conflicting, changes, harmless] of reads) {
  for (const change of changes) {
    test(`fn runs again where another ${change} changed ${name}`, (t) => {
      const { db, tree } = filled(t)
      let runs = 0
      db.transact((tx) => {
        runs += 1
        read(tx, tree)
        tree.put(harmless, `harmless ${runs}`)
        if (runs === 1) {
          tree.put(conflicting, 'by others')
          if (change === 'delete') tree.delete(conflicting)
        }
        tx.put(tree, 'result', `${runs}`)
      })
      t.is(runs, 2)
      t.is(tree.get('result'), '2')
    })
  }
}

test('a record that was only looked for may change', (t) => {
  const { db, tree } = filled(t)
  let runs = 0
  db.transact((tx) => {
    runs += 1
    t.true(tx.has(tree, 'a'))
    t.false(tx.isEmpty(tree, 'dir/'))
    tree.put('a', 'by others')
    tree.delete('dir/1')
  })
  t.is(runs, 1)
})

test('a record that was looked for and then read may not change', (t) => {
  const { db, tree } = filled(t)
  let runs = 0
  db.transact((tx) => {
    runs += 1
    tx.has(tree, 'a')
    tx.get(tree, 'a')
    if (runs === 1) tree.put('a', 'by others')
  })
  t.is(runs, 2)
})

test('a record that was read twice, before and after a change by others, is a conflict', (t) => {
  const { db, tree } = filled(t)
  const seen: (string | undefined)[] = []
  db.transact((tx) => {
    seen.push(tx.get(tree, 'a'))
    if (seen.length === 1) tree.put('a', '2')
    seen.push(tx.get(tree, 'a'))
  })
  t.deepEqual(seen.slice(-2), ['2', '2'])
  t.is(seen.length, 4)
})

test('what is written without being read is no conflict', (t) => {
  const { db, tree } = filled(t)
  let runs = 0
  db.transact((tx) => {
    runs += 1
    tx.put(tree, 'a', 'mine')
    t.is(tx.get(tree, 'a'), 'mine')
    tx.delete(tree, 'dir/1')
    tree.put('a', 'by others')
    tree.delete('dir/1')
  })
  t.is(runs, 1)
  t.is(tree.get('a'), 'mine')
})

test('too many conflicts are ERR_COPPICE_CONFLICT, with nothing written', (t) => {
  const { db, tree } = filled(t)
  for (const [options, expected] of [
    [{ retries: 0 }, 1],
    [{ retries: 3 }, 4],
    [{}, 17],
    [undefined, 17],
  ] as const) {
    let runs = 0
    const attempt = () =>
      db.transact((tx) => {
        runs += 1
        tx.get(tree, 'a')
        tree.put('a', `by others ${runs}`)
        tx.put(tree, 'mine', '')
      }, options)
    throwsCode(t, attempt, 'ERR_COPPICE_CONFLICT', new RegExp(`"a" in the tree "t" in each of ${expected} runs`))
    t.is(runs, expected)
    t.false(tree.has('mine'))
  }
})

test('what fn throws reaches the caller, and nothing is written', (t) => {
  const { db, tree } = filled(t)
  const mine = new Error('mine')
  const thrown = t.throws(() =>
    db.transact((tx) => {
      tx.put(tree, 'a', '2')
      throw mine
    }),
  )
  t.is(thrown, mine)
  t.is(tree.get('a'), '1')
  t.is(
    db.transact((tx) => tx.get(tree, 'a')),
    '1',
  )
})

test('what fn throws after reads that do not hold any more is not thrown: fn runs again', (t) => {
  const { db, tree } = filled(t)
  let runs = 0
  const impossible = (most: number) => () =>
    db.transact(
      (tx) => {
        runs += 1
        const read = tx.get(tree, 'a')
        if (runs <= most) tree.put('a', `by others ${runs}`)
        tx.put(tree, 'mine', '')
        if (tree.get('a') !== read) throw new Error('impossible')
        return runs
      },
      { retries: 2 },
    )
  t.is(impossible(2)(), 3)
  tree.delete('mine')
  runs = 0
  const error = t.throws(impossible(3), { instanceOf: CoppiceError, code: 'ERR_COPPICE_CONFLICT' })
  t.like(error?.cause, { message: 'impossible' })
  t.false(tree.has('mine'))
})

test('fn that returns a promise is refused, and nothing is written', async (t) => {
  const { db, tree } = filled(t)
  const later: unknown[] = []
  const asynchronous = async (tx: Transaction) => {
    tx.put(tree, 'a', '2')
    await null
    try {
      tx.put(tree, 'a', '3')
    } catch (error) {
      later.push(error)
      throw error
    }
  }
  throwsCode(t, () => db.transact(asynchronous), 'ERR_COPPICE_INVALID_ARGUMENT', /promise/)
  // biome-ignore lint/suspicious/noThenProperty: an object that is awaited like a promise is what is tested.
  throwsCode(t, () => db.transact(() => ({ then: () => undefined })), 'ERR_COPPICE_INVALID_ARGUMENT', /promise/)
  await new Promise((resolve) => setImmediate(resolve))
  t.is(later.length, 1)
  throwsCode(
    t,
    () => {
      throw later[0]
    },
    'ERR_COPPICE_CLOSED',
    /transaction has ended/,
  )
  t.is(tree.get('a'), '1')
})

test('a transaction that has ended takes no calls', (t) => {
  const { db, tree } = filled(t)
  const [tx] = [db.transact((tx) => [tx])].flat()
  const ended = tx as Transaction
  const calls = [
    () => ended.get(tree, 'a'),
    () => ended.has(tree, 'a'),
    () => ended.isEmpty(tree, ''),
    () => ended.put(tree, 'a', ''),
    () => ended.delete(tree, 'a'),
  ]
  for (const call of calls) throwsCode(t, call, 'ERR_COPPICE_CLOSED', /ended/)
})

test('a transaction within another is refused on the same database, not on another', (t) => {
  const { db, tree } = filled(t)
  const elsewhere = volatile(t)
  const theirs = elsewhere.tree()
  db.transact((tx) => {
    throwsCode(t, () => db.transact(() => 1), 'ERR_COPPICE_INVALID_ARGUMENT', /within/)
    tx.put(tree, 'outer', '1')
    elsewhere.transact((inner) => inner.put(theirs, 'inner', '2'))
  })
  t.is(tree.get('outer'), '1')
  t.is(String(theirs.get('inner')), '2')
  t.is(
    db.transact(() => 'again'),
    'again',
  )
})

test('arguments of transact and of a transaction are checked', (t) => {
  const { db, tree } = filled(t)
  const INVALID = 'ERR_COPPICE_INVALID_ARGUMENT'
  throwsCode(t, () => db.transact(undefined as never), INVALID, /fn must be a function/)
  throwsCode(t, () => db.transact(() => 1, { retries: -1 }), INVALID, /retries/)
  throwsCode(t, () => db.transact(() => 1, { retries: 1.5 }), INVALID, /retries/)
  throwsCode(t, () => db.transact(() => 1, { tries: 1 } as never), INVALID, /'tries'/)
  const theirs = volatile(t).tree()
  db.transact((tx) => {
    throwsCode(t, () => tx.get(theirs, 'k'), INVALID, /another handle/)
    throwsCode(t, () => tx.put({} as never, 'k', ''), INVALID, /tree/)
    throwsCode(t, () => tx.get(tree, 7 as never), INVALID, /key.*7/)
    throwsCode(t, () => tx.has(tree, 'k'.repeat(8193)), 'ERR_COPPICE_KEY_TOO_LARGE', /8193/)
    throwsCode(t, () => tx.isEmpty(tree, null as never), INVALID, /prefix.*null/)
    throwsCode(t, () => tx.put(tree, '\ud800', ''), INVALID, /lone surrogate/)
    throwsCode(t, () => tx.put(tree, 'k', 7 as never), INVALID, /7/)
  })
  const closed = open(':memory:')
  closed.close()
  throwsCode(t, () => closed.transact(() => 1), 'ERR_COPPICE_CLOSED')
})

test('a database that fn closes takes no commit', (t) => {
  const db = open(':memory:')
  const tree = db.tree()
  throwsCode(
    t,
    () =>
      db.transact((tx) => {
        tx.put(tree, 'k', '')
        db.close()
      }),
    'ERR_COPPICE_CLOSED',
  )
})

test('a codec that writes through the transaction it encodes for', (t) => {
  const db = volatile(t)
  const log = db.tree('log')
  const current: { tx?: Transaction } = {}
  const encoding: Codec<string> = {
    name: 'logging',
    encode(value) {
      current.tx?.put(log, value, '')
      return value
    },
    decode: String,
  }
  const tree = db.tree('t', { encoding })
  db.transact((tx) => {
    current.tx = tx
    tx.put(tree, 'a', '1')
    tx.put(tree, 'b', '2')
    t.is(tx.get(tree, 'a'), '1')
  })
  t.deepEqual([...log.keys()], ['1', '2'])
  t.deepEqual([...tree.values()], ['1', '2'])
})

test('transactions of several threads on one record lose no update', async (t) => {
  const folder = await temporaryFolder(t)
  using db = open(folder)
  const counters = db.tree<number>('counters', { encoding: 'json' })
  const rounds = 300
  const threads = [1, 2, 3].map((number) => {
    const thread = new Worker(worker, { workerData: { folder, rounds, name: `worker/${number}` }, execArgv: [] })
    return Promise.all([once(thread, 'message'), once(thread, 'exit')])
  })
  let conflicts = 0
  for (const [[message]] of await Promise.all(threads)) conflicts += message.conflicts
  t.log(`${conflicts} conflicts`)
  t.is(counters.get('total'), 3 * rounds)
  for (const number of [1, 2, 3]) t.is(counters.get(`worker/${number}`), rounds)
  t.is(counters.count('unique/'), 3 * rounds)
})
