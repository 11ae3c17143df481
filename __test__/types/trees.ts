// What the compiler makes of trees: the types of values by their encoding, of keys, of conditions, of promises. Checked by
// tsc; nothing here runs.

import type { Bytes, Change, Codec, Database, Entry, Key, Listing, Reader, Tree, TreePromises } from 'coppice'
import { expectTypeOf } from 'expect-type'

interface Photo {
  size: number
  taken?: string
}

declare const db: Database
declare const codec: Codec<Date>

export function valuesAreTypedByTheEncoding(): void {
  expectTypeOf(db.tree()).toEqualTypeOf<Tree<Buffer, Bytes>>()
  expectTypeOf(db.tree('t')).toEqualTypeOf<Tree<Buffer, Bytes>>()
  expectTypeOf(db.tree('t', { encoding: 'utf8' })).toEqualTypeOf<Tree<string>>()
  expectTypeOf(db.tree('t', { encoding: 'json' })).toEqualTypeOf<Tree<unknown>>()
  expectTypeOf(db.tree<Photo>('t', { encoding: 'json' })).toEqualTypeOf<Tree<Photo>>()
  expectTypeOf(db.tree('t', { encoding: codec })).toEqualTypeOf<Tree<Date>>()
  // @ts-expect-error: no such encoding
  db.tree('t', { encoding: 'latin1' })
  // @ts-expect-error: no such option
  db.tree('t', { encode: 'utf8' })
  // @ts-expect-error: names are text
  db.tree(7)
}

export function changesAreTypedByTheEncodingAndTheKeys(): void {
  expectTypeOf(db.tree('t', { encoding: codec }).watch()).toEqualTypeOf<AsyncIterableIterator<Change<Date>>>()
  expectTypeOf(db.tree('t', { keys: 'buffer' }).watch()).toEqualTypeOf<AsyncIterableIterator<Change<Buffer, Buffer>>>()
  // @ts-expect-error: only a put has a value
  expectTypeOf<Extract<Change<Date>, { type: 'delete' }>>().toHaveProperty('value')
}

export function keysComeBackAsBytesWhereThatWasAskedFor(): void {
  expectTypeOf(db.tree('t', { keys: 'buffer' })).toEqualTypeOf<Tree<Buffer, Bytes, Buffer>>()
  expectTypeOf(db.tree('t', { keys: 'buffer', encoding: 'utf8' })).toEqualTypeOf<Tree<string, string, Buffer>>()
  expectTypeOf(db.tree<Photo>('t', { keys: 'buffer', encoding: 'json' })).toEqualTypeOf<Tree<Photo, Photo, Buffer>>()
  expectTypeOf(db.tree('t', { keys: 'buffer', encoding: codec })).toEqualTypeOf<Tree<Date, Date, Buffer>>()
  const tree = db.tree('t', { keys: 'buffer' })
  expectTypeOf(tree.keys()).toEqualTypeOf<IterableIterator<Buffer>>()
  expectTypeOf(tree.list().prefixes).toEqualTypeOf<Buffer[]>()
  // They go in as either.
  expectTypeOf(tree.get).parameter(0).toEqualTypeOf<Key>()
  // @ts-expect-error: text is what they are without the option
  db.tree('t', { keys: 'string' })
}

export function readsMayFindNothing(tree: Reader<Photo>): void {
  expectTypeOf(tree.get('k')).toEqualTypeOf<Photo | undefined>()
  expectTypeOf(tree.getMany(['a', Buffer.from('b')])).toEqualTypeOf<(Photo | undefined)[]>()
  expectTypeOf(tree.record('k')).toEqualTypeOf<{ value: Photo; version: number } | undefined>()
  expectTypeOf(tree.longestPrefix('k')).toEqualTypeOf<Entry<Photo> | undefined>()
  expectTypeOf(tree.has('k')).toEqualTypeOf<boolean>()
  expectTypeOf(tree.count()).toEqualTypeOf<number>()
  expectTypeOf(tree.isEmpty('p/')).toEqualTypeOf<boolean>()
  // @ts-expect-error: numbers are no keys
  tree.get(1)
  // @ts-expect-error: nor is nothing
  tree.get()
  // @ts-expect-error: getMany takes an array, so that one call can take them all
  tree.getMany(new Set(['a']))
}

export function scansAndListings(tree: Reader<Photo>): void {
  expectTypeOf(tree.keys({ prefix: 'p/' })).toEqualTypeOf<IterableIterator<string>>()
  expectTypeOf(tree.values({ gt: 'a', lte: Buffer.from('b') })).toEqualTypeOf<IterableIterator<Photo>>()
  expectTypeOf(tree.entries({ reverse: true, limit: 10 })).toEqualTypeOf<IterableIterator<[string, Photo]>>()
  expectTypeOf(tree.records({})).toEqualTypeOf<IterableIterator<Entry<Photo>>>()
  expectTypeOf(tree.list({ prefix: 'p/', delimiter: '/', values: true })).toEqualTypeOf<Listing<Photo>>()
  expectTypeOf<Listing<Photo>['values']>().toEqualTypeOf<Photo[] | undefined>()
  // @ts-expect-error: a range has no delimiter
  tree.keys({ delimiter: '/' })
  // @ts-expect-error: a listing has no bounds but `after`
  tree.list({ gt: 'a' })
  // @ts-expect-error: delimiters are text
  tree.list({ delimiter: Buffer.from('/') })
  // @ts-expect-error: nothing is written through a Reader
  tree.put('k', { size: 1 })
}

export function aPutUnderAConditionMayBeRefused(tree: Tree<Photo>, bytes: Tree<Buffer, Bytes>): void {
  expectTypeOf(tree.put('k', { size: 1 })).toEqualTypeOf<number>()
  expectTypeOf(tree.put('k', { size: 1 }, { ifAbsent: true })).toEqualTypeOf<number | undefined>()
  expectTypeOf(tree.put('k', { size: 1 }, { ifVersion: 7 })).toEqualTypeOf<number | undefined>()
  expectTypeOf(tree.delete('k', { ifVersion: 7 })).toEqualTypeOf<boolean>()
  expectTypeOf(bytes.put('k', 'text')).toEqualTypeOf<number>()
  expectTypeOf(bytes.put('k', new Uint8Array(3))).toEqualTypeOf<number>()
  // @ts-expect-error: a property is missing
  tree.put('k', {})
  // @ts-expect-error: versions are numbers
  tree.put('k', { size: 1 }, { ifVersion: '7' })
  // @ts-expect-error: there is nothing to put
  tree.put('k')
  // @ts-expect-error: bytes or text
  bytes.put('k', 7)
}

export function writes(tree: Tree<Photo>): void {
  expectTypeOf(tree.putMany([['k', { size: 1 }]])).toEqualTypeOf<void>()
  tree.putMany(new Map<Key, Photo>([['k', { size: 1 }]]))
  expectTypeOf(tree.rename('a', 'b', { overwrite: true })).toEqualTypeOf<boolean>()
  expectTypeOf(tree.movePrefix('a/', 'b/')).toEqualTypeOf<number>()
  expectTypeOf(tree.clonePrefix('a/', 'b/')).toEqualTypeOf<number>()
  expectTypeOf(tree.deletePrefix('a/')).toEqualTypeOf<number>()
  // @ts-expect-error: pairs, not keys
  tree.putMany(['k'])
  // @ts-expect-error: names are not changed
  tree.name = 'other'
}

export function promisesMirrorTheTree(tree: Tree<Photo>): void {
  const { promises } = tree
  expectTypeOf(promises).toEqualTypeOf<TreePromises<Photo>>()
  expectTypeOf(promises.get('k')).toEqualTypeOf<Promise<Photo | undefined>>()
  expectTypeOf(promises.put('k', { size: 1 })).toEqualTypeOf<Promise<number>>()
  expectTypeOf(promises.put('k', { size: 1 }, { ifAbsent: true })).toEqualTypeOf<Promise<number | undefined>>()
  expectTypeOf(promises.putMany([['k', { size: 1 }]])).toEqualTypeOf<Promise<void>>()
  expectTypeOf(promises.list({ delimiter: '/' })).toEqualTypeOf<Promise<Listing<Photo>>>()
  expectTypeOf(promises.entries()).toEqualTypeOf<AsyncIterableIterator<[string, Photo]>>()
  // @ts-expect-error: a property is missing
  void promises.put('k', {})
}
