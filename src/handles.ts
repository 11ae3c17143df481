/** The handles of a database's or a snapshot's trees: one object for each name and set of options. */

import { checkOptions, checkText, describe } from './check.js'
import {
  bytesEncoding,
  type Codec,
  codecEncoding,
  type Encoding,
  isCodec,
  jsonEncoding,
  utf8Encoding,
} from './codec.js'
import type { Connection } from './connection.js'
import { invalid } from './errors.js'
import { native } from './native/binding.js'
import { StoredTree } from './tree.js'

/** How a tree is opened. */
export interface TreeOptions {
  encoding?: 'utf8' | 'json' | Codec<unknown>
  keys?: 'buffer'
}

const TREE_OPTIONS = ['encoding', 'keys'] as const

/** Tree handles by name, each with the number of the tree that it was made for. */
type TreeCache = Map<string, { id: number; tree: object }>

export class TreeHandles {
  readonly #connection: Connection
  /** By encoding, then by what keys come back as and the name. Codecs that are forgotten take their trees along. */
  readonly #namedEncodings = new Map<TreeOptions['encoding'], TreeCache>()
  readonly #codecs = new WeakMap<object, TreeCache>()
  readonly #make: (tree: StoredTree<never, never, never>) => object

  /** `make` makes what callers get of a tree. */
  constructor(connection: Connection, make: (tree: StoredTree<never, never, never>) => object) {
    this.#connection = connection
    this.#make = make
  }

  /** The handle of a tree, which the database makes where there is none. */
  open(name: string, options: TreeOptions | undefined): object {
    this.#connection.requireOpen()
    checkText('tree name', name)
    const { encoding, keys } = checkOptions('tree options', options, TREE_OPTIONS)
    if (keys !== undefined && keys !== 'buffer')
      throw invalid(`keys must be 'buffer' or left out, not ${describe(keys)}`)
    const keysAsBytes = keys === 'buffer'
    const cache = this.#cacheOf(encoding)
    const cacheKey = `${keysAsBytes ? 'b' : 's'}${name}`
    let opened = cache.get(cacheKey)
    // One that cannot be is refused before the tree is made.
    if (opened === undefined) encodingOf(encoding)
    // Asked each time: the tree that a handle was made for may have been dropped, in another thread too.
    const id = this.#connection.resultOf(native.tree(this.#connection.handle, name))
    if (opened?.id !== id) {
      const tree = new StoredTree(this.#connection, id, name, encodingOf(encoding), keysAsBytes)
      opened = { id, tree: this.#make(tree as StoredTree<never, never, never>) }
      cache.set(cacheKey, opened)
    }
    return opened.tree
  }

  #cacheOf(encoding: TreeOptions['encoding']): TreeCache {
    if (typeof encoding === 'object' && encoding !== null) return entryOf(this.#codecs, encoding)
    return entryOf(this.#namedEncodings, encoding)
  }
}

function entryOf<Name>(
  caches: { get(name: Name): TreeCache | undefined; set(name: Name, cache: TreeCache): unknown },
  name: Name,
): TreeCache {
  let cache = caches.get(name)
  if (cache === undefined) {
    cache = new Map()
    caches.set(name, cache)
  }
  return cache
}

function encodingOf(encoding: TreeOptions['encoding']): Encoding<unknown, never> {
  if (encoding === undefined) return bytesEncoding
  if (encoding === 'utf8') return utf8Encoding
  if (encoding === 'json') return jsonEncoding
  if (isCodec(encoding)) return codecEncoding(encoding)
  throw invalid(
    `encoding must be 'utf8', 'json' or a codec (an object with name, encode and decode), not ${describe(encoding)}`,
  )
}
