/**
 * Memory that the addon writes values into and that callers are given views of, the way Node's own Buffer pool works:
 * a view costs a tenth of a Buffer made in native code. A region is used once; a slab that is used up is replaced, and
 * lives on for as long as somebody holds a view of it.
 */

import { markAsUntransferable } from 'node:worker_threads'

const SLAB_BYTES = 64 * 1024
/** Values larger than this get memory of their own instead of using up a slab. */
const LARGE_BYTES = SLAB_BYTES / 4

export class Slab {
  buffer: Buffer
  memory: ArrayBuffer
  /** Where the next value goes. */
  offset = 0

  constructor(size: number) {
    this.buffer = Buffer.allocUnsafeSlow(size)
    this.memory = this.buffer.buffer as ArrayBuffer
    // A view's memory is its neighbours' too: transferring it to another thread would take theirs away.
    markAsUntransferable(this.memory)
  }

  /** Replaces the memory; what was handed out keeps the old. */
  renew(): void {
    const fresh = new Slab(SLAB_BYTES)
    this.buffer = fresh.buffer
    this.memory = fresh.memory
    this.offset = 0
  }

  /** Keeps the next `length` bytes, which the addon has written, for who was given a view of them. */
  advance(length: number): void {
    // Eight-byte steps, so that callers may lay typed arrays over a value.
    this.offset = (this.offset + length + 7) & ~7
  }
}

/** The slab of this thread. */
export const slab: Slab = new Slab(SLAB_BYTES)

/** Room for `needed` bytes, which the slab that was tried has not. */
export function roomFor(needed: number): Slab {
  if (needed > LARGE_BYTES) return new Slab(needed)
  slab.renew()
  return slab
}

/** The thread's slab with room for a page's worth of values. */
export function roomForPage(): Slab {
  if (slab.buffer.length - slab.offset < LARGE_BYTES) slab.renew()
  return slab
}
