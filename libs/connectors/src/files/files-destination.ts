/**
 * Files in a folder of an object store, or on a disk. A file has its final name when its epoch is published and never
 * before; each is whole when it can be seen. Names say job, sink, subtask, transaction and number, and the same transaction
 * makes the same files: written twice they are as written once.
 *
 *   orders.out.0-0000000007-0000.ndjson              rows
 *   _manifests/orders.out.0-0000000007.json          the files of the transaction; written behind the last of them
 *   _weir/orders.out.0/done.7                        the marker: the transaction is written
 *   _weir/orders.out.0/fence.3                       the third instance has taken over
 *
 * Readers that take a folder for a table leave names with `_` in front alone. One that must see transactions whole
 * reads the files the manifests name. Nothing here is changed or set back, so no write of a late instance can hurt: it
 * can only be what is there.
 */
import type { ObjectStore } from '@weir/checkpoint'
import type { SubtaskContext } from '@weir/dataflow'
import { WeirError, assert, type RecordBatch } from '@weir/model'
import type { Destination, StagedTransaction } from '../staged/destination.ts'
import type { FilesSinkOptions } from './options.ts'

/** Markers that are kept: the last one, and the one before it while it is written. */
const MARKERS_KEPT = 2
const TAKE_TRIES = 10
const NOTHING = new Uint8Array()

interface Standing {
  readonly fence: number
  readonly done: number | null
  readonly keys: readonly string[]
}

export class FilesDestination implements Destination {
  readonly name: string
  readonly #options: FilesSinkOptions
  readonly #objects: ObjectStore
  /** `job.sink.subtask`, in file names. */
  readonly #owner: string
  #fence = 0

  constructor(options: FilesSinkOptions, deps: { readonly context: SubtaskContext; readonly objects: ObjectStore }) {
    const { jobId, operatorUid, subtask } = deps.context
    this.name = `folder ${options.folder}`
    this.#options = options
    this.#objects = deps.objects
    // A job id has no dot, so no two owners have one name.
    this.#owner = [jobId, encodeURIComponent(operatorUid), subtask].join('.')
  }

  encode(batch: RecordBatch, i: number): Uint8Array {
    return this.#options.format.encode(batch, i)
  }

  async take(): Promise<number | null> {
    await this.#objects.sweepUnfinished?.(`${this.#owner}-`)
    for (let i = 0; i < TAKE_TRIES; i++) {
      const { fence, done, keys } = await this.#standing()
      const mine = fence + 1
      const { kind } = await this.#objects.put(this.#key(`fence.${mine}`), NOTHING, { ifNoneMatch: '*' })
      if (kind === 'lost') continue // another instance takes over at the same time: behind it
      this.#fence = mine
      for (const key of keys.filter((k) => numberOf(k, 'fence') !== null)) await this.#objects.delete(key)
      return done
    }
    throw this.#replaced('PRODUCER_FENCED', 'fenced', null)
  }

  async initialise(sequence: number): Promise<void> {
    await this.#objects.put(this.#key(`done.${sequence}`), NOTHING)
  }

  async apply({ handle, rows }: StagedTransaction): Promise<void> {
    const { fence, done, keys } = await this.#standing()
    const { sequence } = handle
    if (fence !== this.#fence) throw this.#replaced('COMMIT_REFUSED', 'restart', sequence)
    if (done !== null && done >= sequence) return
    assert(done === sequence - 1, `transaction ${sequence} is to follow ${done} in ${this.name}`)
    const name = `${this.#owner}-${String(sequence).padStart(10, '0')}`
    const files: { file: string; rows: number; bytes: number }[] = []
    const write = async (run: readonly Buffer[]): Promise<void> => {
      const file = `${name}-${String(files.length).padStart(4, '0')}${this.#options.format.extension}`
      const bytes = await this.#options.format.file(run)
      await this.#objects.put(file, bytes)
      files.push({ file, rows: run.length, bytes: bytes.byteLength })
    }
    let [run, size, written]: [Buffer[], number, number] = [[], 0, 0]
    for await (const staged of rows()) {
      for (const row of staged) {
        run.push(row)
        size += row.length
        if (size < this.#options.rollBytes) continue
        await write(run)
        written += run.length
        ;[run, size] = [[], 0]
      }
    }
    if (run.length > 0) await write(run)
    written += run.length
    assert(written === handle.records, `${written} of ${handle.records} staged rows of ${this.name} were found`)
    await this.#objects.put(`_manifests/${name}.json`, Buffer.from(JSON.stringify({ sequence, files })))
    await this.#objects.put(this.#key(`done.${sequence}`), NOTHING)
    const old = keys.filter((key) => (numberOf(key, 'done') ?? Infinity) <= sequence - MARKERS_KEPT)
    for (const key of old) await this.#objects.delete(key)
  }

  close(): Promise<void> {
    return this.#objects.close()
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  #key(name: string): string {
    return `_weir/${this.#owner}/${name}`
  }

  async #standing(): Promise<Standing> {
    const keys = await this.#objects.list(this.#key(''))
    const highest = (kind: 'fence' | 'done'): number | null =>
      keys.reduce<number | null>((high, key) => {
        const n = numberOf(key, kind)
        return n === null ? high : Math.max(n, high ?? n)
      }, null)
    return { fence: highest('fence') ?? 0, done: highest('done'), keys }
  }

  #replaced(code: string, kind: 'restart' | 'fenced', sequence: number | null): WeirError {
    return new WeirError(
      { code, kind, sequence, fence: this.#fence, folder: this.#options.folder },
      `another instance of sink ${this.#owner} has taken ${this.name} over: this one writes nothing any more`,
    )
  }
}

/** Null: a key of another kind. */
function numberOf(key: string, kind: 'fence' | 'done'): number | null {
  const [, found, n] = /\/(fence|done)\.(\d+)$/.exec(key) ?? []
  return found === kind ? Number(n) : null
}
