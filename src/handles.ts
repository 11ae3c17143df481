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

/** What trees of one encoding have. */
interface Encoded {
  readonly encoding: Encoding<unknown, never>
  /** Handles by what keys come back as and the name, each with the number of the tree that it was made for. */
  readonly opened: Map<string, { id: number; tree: object }>
}

export class TreeHandles {
  readonly #connection: Connection
  /** Codecs that are forgotten take their trees along. */
  readonly #namedEncodings = new Map<TreeOptions['encoding'], Encoded>()
  readonly #codecs = new WeakMap<Codec<unknown>, Encoded>()
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
    // One that cannot be is refused before the tree is made.
    const encoded = this.#encoded(encoding)
    const cacheKey = `${keysAsBytes ? 'b' : 's'}${name}`
    // Asked each time: the tree that a handle was made for may have been dropped, in another thread too.
    const id = this.#connection.resultOf(native.tree(this.#connection.handle, name))
    let opened = encoded.opened.get(cacheKey)
    if (opened?.id !== id) {
      const tree = new StoredTree(this.#connection, id, name, encoded.encoding, keysAsBytes)
      opened = { id, tree: this.#make(tree as StoredTree<never, never, never>) }
      encoded.opened.set(cacheKey, opened)
    }
    return opened.tree
  }

  #encoded(encoding: TreeOptions['encoding']): Encoded {
    if (typeof encoding === 'object' && encoding !== null) return entryOf(this.#codecs, encoding)
    return entryOf(this.#namedEncodings, encoding)
  }
}

function entryOf<Name extends TreeOptions['encoding']>(
  entries: { get(name: Name): Encoded | undefined; set(name: Name, entry: Encoded): unknown },
  name: Name,
): Encoded {
  let entry = entries.get(name)
  if (entry === undefined) {
    entry = { encoding: encodingOf(name), opened: new Map() }
    entries.set(name, entry)
  }
  return entry
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
