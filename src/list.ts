/** Listings: keys under a prefix, rolled up at a delimiter, a page at a time. */

import { checkBoolean, checkInteger, checkOptions, checkText } from './check.js'
import type { Encoding } from './codec.js'
import type { Connection } from './connection.js'
import { invalid } from './errors.js'
import { type Key, keptKey } from './key.js'
import { type Argument, native, pageFlag } from './native/binding.js'
import { PAGE_ENTRIES, type Page, type PageParts, requestPage } from './page.js'
import { decodeToken, encodeToken, type Position } from './token.js'

/** What a listing shows. */
export interface ListOptions {
  /** Only keys that start with this, the prefix itself included. Default: all. */
  prefix?: Key
  /**
   * One or more characters. A key that holds it behind the prefix is not shown itself: the part up to and including its
   * first occurrence there is, once for all keys that share it, among `prefixes`. Without it nothing is rolled up.
   */
  delimiter?: string
  /** Only keys greater than this (and prefixes that keys greater than this are rolled up to). */
  after?: Key
  /**
   * The `next` of the page before this one, with `prefix` and `delimiter` as they were. ERR_COPPICE_INVALID_ARGUMENT for
   * what is no `next` of a listing, or of one that ended with a key that does not start with `prefix`.
   */
  token?: string
  /** How many keys and prefixes together. A whole number; 0 gives an empty page without `next`. Default 1000. */
  limit?: number
  /** Whether to read the values of `keys` too. Default false. */
  values?: boolean
}

/** A page of a listing. */
export interface Listing<V, K = string> {
  /** Keys that were not rolled up, in byte order. */
  keys: K[]
  /** With `values: true`, the value of each of `keys`; otherwise not there. */
  values?: V[]
  /** What was rolled up, delimiter included, in byte order: each once over all pages. */
  prefixes: K[]
  /** Hand it to the next call as `token`. Not there at the end. */
  next?: string
}

const LIST_OPTIONS = ['prefix', 'delimiter', 'after', 'token', 'limit', 'values'] as const
const DEFAULT_LIMIT = 1000

/** A listing as it is asked of the addon. */
interface Request {
  prefix: Argument
  delimiter: Argument
  after: Argument | undefined
  limit: number
  values: boolean
  resume: { kind: Position['kind']; item: Argument } | undefined
}

/** A page of `options.limit` items, as it is collected. */
export class Collecting<V, K extends Argument> {
  readonly #tree: number
  readonly #parts: PageParts
  readonly #encoding: Encoding<V, never>
  readonly #request: Request
  readonly #listing: Listing<V, K>

  /** Throws where an option cannot be. */
  constructor(tree: number, keysAsBytes: boolean, encoding: Encoding<V, never>, options: ListOptions | undefined) {
    const request = checkRequest(options)
    this.#tree = tree
    this.#parts = { values: request.values, keysAsBytes }
    this.#encoding = encoding
    this.#request = request
    this.#listing = request.values ? { keys: [], values: [], prefixes: [] } : { keys: [], prefixes: [] }
  }

  /** How far it is. */
  progress(): number {
    return this.#listing.keys.length + this.#listing.prefixes.length
  }

  /** Collects what is left, and sees whether that is all. Where it throws it may be called again, and goes on. */
  make(connection: Connection): Listing<V, K> {
    connection.requireOpen()
    const request = this.#request
    const listing = this.#listing
    while (request.limit > 0) {
      const page = requestItems<K>(connection, this.#tree, this.#parts, request)
      collect(page, this.#parts, this.#encoding, listing)
      request.limit -= page.count
      if (!page.more) return listing
      const kind = page.isPrefix ? 'prefix' : 'key'
      const item = page.key as K
      if (request.limit === 0 && page.moreIsKnown) {
        listing.next = encodeToken(kind, item)
        return listing
      }
      request.resume = { kind, item: keptKey('key', item) }
    }
    // Full, and nobody knows yet whether there is more; or nothing was asked for.
    const last = request.resume
    if (last && this.progress() > 0 && this.#isMoreBehind(connection)) listing.next = encodeToken(last.kind, last.item)
    return listing
  }

  /** Whether there is anything behind the last item. As bytes: it may be no text. */
  #isMoreBehind(connection: Connection): boolean {
    const parts = { values: false, keysAsBytes: true }
    const page = requestItems<Buffer>(connection, this.#tree, parts, { ...this.#request, limit: 1 })
    page.release()
    return page.count > 0
  }
}

function checkRequest(options: ListOptions | undefined): Request {
  const { prefix, delimiter, after, token, limit, values } = checkOptions('list options', options, LIST_OPTIONS)
  if (delimiter === '') throw invalid('delimiter must have at least one character; leave it out to roll nothing up')
  const below = prefix === undefined ? '' : keptKey('prefix', prefix)
  const position = token === undefined ? undefined : decodeToken(token, below)
  return {
    prefix: below,
    delimiter: delimiter === undefined ? '' : keptKey('delimiter', checkText('delimiter', delimiter)),
    after: after === undefined ? undefined : keptKey('after', after),
    limit: checkInteger('limit', limit, 0, Number.MAX_SAFE_INTEGER, DEFAULT_LIMIT),
    values: checkBoolean('values', values, false),
    resume: position && { kind: position.kind, item: keptKey('token', position.bytes) },
  }
}

function requestItems<K>(connection: Connection, tree: number, parts: PageParts, request: Request): Page<K> {
  let flags = parts.values ? pageFlag.values : 0
  if (parts.keysAsBytes) flags |= pageFlag.keysAsBytes
  if (request.after !== undefined) flags |= pageFlag.after
  if (request.resume !== undefined) flags |= request.resume.kind === 'key' ? pageFlag.resumeKey : pageFlag.resumePrefix
  const { prefix, delimiter } = request
  const after = request.after ?? ''
  const resume = request.resume?.item ?? ''
  const limit = Math.min(request.limit, PAGE_ENTRIES)
  return requestPage(connection, parts, (figures, slab, offset) =>
    native.list(connection.handle, tree, flags, limit, figures, slab, offset, prefix, delimiter, after, resume),
  )
}

function collect<V, K>(page: Page<K>, parts: PageParts, encoding: Encoding<V, never>, listing: Listing<V, K>): void {
  const { keys, values, prefixes } = listing
  if (!parts.values && !parts.keysAsBytes) {
    page.takeAll(keys, prefixes)
    return
  }
  while (page.next()) {
    if (page.isPrefix) {
      prefixes.push(page.key as K)
    } else {
      keys.push(page.key as K)
      values?.push(page.value(encoding))
    }
  }
}
