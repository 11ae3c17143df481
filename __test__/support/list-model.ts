// What S3's ListObjectsV2 answers, over a plain array, to hold listings against.

import type { Tree } from 'coppice'

export interface ListingRequest {
  prefix?: string
  delimiter?: string
  after?: string
}

export interface Items {
  keys: string[]
  prefixes: string[]
}

/** All items that a listing of these keys has, over all its pages. */
export function expectedItems(keys: readonly string[], { prefix = '', delimiter, after }: ListingRequest): Items {
  const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const items: Items = { keys: [], prefixes: [] }
  for (const key of sorted) {
    if (!key.startsWith(prefix)) continue
    if (after !== undefined && Buffer.compare(Buffer.from(key), Buffer.from(after)) <= 0) continue
    const found = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length)
    if (found < 0) items.keys.push(key)
    else items.prefixes.push(key.slice(0, found + (delimiter?.length ?? 0)))
  }
  items.prefixes = [...new Set(items.prefixes)]
  return items
}

/** Follows a listing to its end in pages of `limit`; refuses a page that is too long, or short though more follow. */
export function listPages(tree: Tree<unknown>, request: ListingRequest, limit: number): Items[] {
  const pages: Items[] = []
  let token: string | undefined
  do {
    const { next, ...page } = tree.list({ ...request, limit, ...(token !== undefined && { token }) })
    const size = page.keys.length + page.prefixes.length
    if (size > limit) throw new Error(`a page of ${size} items where ${limit} were asked for`)
    if (size < limit && next !== undefined) throw new Error(`a page of ${size} of ${limit} items that is not the last`)
    pages.push(page)
    token = next
  } while (token !== undefined)
  return pages
}

/** The items of all pages. */
export function listAll(tree: Tree<unknown>, request: ListingRequest, limit: number): Items {
  const pages = listPages(tree, request, limit)
  return { keys: pages.flatMap(({ keys }) => keys), prefixes: pages.flatMap(({ prefixes }) => prefixes) }
}
