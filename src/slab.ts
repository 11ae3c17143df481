/**
 * Memory that the addon writes values into and that callers are given views of, the way Node's own Buffer pool works:
 * a view costs a tenth of a Buffer made in native code. A region is used once; a slab that is used up is replaced, and
 * lives on for as long as somebody holds a view of it.
 */

import { markAsUntransferable } from 'node:worker_threads'

const SLAB_BYTES = 64 * 1024
/** Values larger than this get memory of their own instead of using up a slab. */
const LARGE_BYTES = SLAB_BYTES / 4

type ViewConstructor = new (memory: ArrayBuffer, start: number, length: number) => Buffer

/** Makes a Buffer over memory. */
const viewOf = chooseView()

/**
 * The class that Node makes Buffers with can be asked for them directly, at a third of the cost of `subarray`. It is
 * reached as any class of a typed array's results is; where that should ever give something else, Node's documented way
 * serves.
 */
function chooseView(): (memory: ArrayBuffer, start: number, length: number) => Buffer {
  const View = Reflect.get(Buffer, Symbol.species) as ViewConstructor | undefined
  if (View === undefined || View.prototype !== Buffer.prototype) return Buffer.from
  return (memory, start, length) => new View(memory, start, length)
}

export class Slab {
  readonly memory: ArrayBuffer
  /** All of it. */
  readonly bytes: Buffer
  /** Where the next value goes. */
  offset = 0

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size)
    this.memory = this.bytes.buffer as ArrayBuffer
    // A view's memory is its neighbours' too: transferring it to another thread would take theirs away.
    markAsUntransferable(this.memory)
  }

  /** Puts bytes at the offset, where there must be room for them. */
  write(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.offset)
  }

  /** Bytes that are left for values. */
  get room(): number {
    return this.bytes.length - this.offset
  }

  /** Keeps the next `length` bytes, which the addon has written, for who is given a view of them. */
  advance(length: number): void {
    // Eight-byte steps, so that callers may lay typed arrays over a value.
    this.offset = (this.offset + length + 7) & ~7
  }

  /** The bytes from `start` to `end`. */
  view(start: number, end: number): Buffer {
    return viewOf(this.memory, start, end - start)
  }

  /** The bytes from `start` to `end`, read as UTF-8. */
  text(start: number, end: number): string {
    return this.bytes.toString('utf8', start, end)
  }

  /** The little-endian double at `start`. */
  double(start: number): number {
    return this.bytes.readDoubleLE(start)
  }
}

/** The slab of this thread. */
export let slab: Slab = new Slab(SLAB_BYTES)

/** Room for `needed` bytes, which the slab that was tried has not. */
export function roomFor(needed: number): Slab {
  if (needed > LARGE_BYTES) return new Slab(needed)
  slab = new Slab(SLAB_BYTES)
  return slab
}

/** The thread's slab with room for a page's worth of values. */
export function roomForPage(): Slab {
  return slab.room < LARGE_BYTES ? roomFor(0) : slab
}
