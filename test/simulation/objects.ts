/** S3: objects with ETags and conditional puts; strongly consistent, as the real one. */
import { createHash } from 'node:crypto'
import type { ObjectStore, PutCondition, PutOutcome, StoredObject } from '@weir/checkpoint'
import { WeirError } from '@weir/model'
import type { Network, Server } from './network.ts'
import type { Process, World } from './world.ts'

const CALL_TIMEOUT_MS = 1_500
/** As the SDK does: a conditional put whose answer was lost is sent again, and then finds itself refused. */
const ATTEMPTS = 2

export class SimS3 implements Server {
  readonly host = 's3'
  up = true
  readonly #world: World
  readonly #objects = new Map<string, { readonly bytes: Buffer; readonly etag: string }>()
  /** Every body head.json ever had: for the checkers. */
  readonly heads: { readonly key: string; readonly body: string }[] = []
  onHead: (body: string) => void = () => {}
  onDelete: (key: string) => void = () => {}

  constructor(world: World) {
    this.#world = world
  }

  put(key: string, bytes: Buffer, condition?: PutCondition): PutOutcome {
    const there = this.#objects.get(key)
    const holds =
      condition === undefined || ('ifMatch' in condition ? there?.etag === condition.ifMatch : there === undefined)
    this.#world.trace(`s3 put ${key} ${holds ? 'stored' : 'lost'}`)
    if (!holds) return { kind: 'lost' }
    // As S3 does: equal bodies have equal tags (PROTOCOL A7).
    const etag = `"${createHash('md5').update(bytes).digest('hex')}"`
    this.#objects.set(key, { bytes, etag })
    if (key.endsWith('head.json')) {
      const body = bytes.toString('utf8')
      this.heads.push({ key, body })
      this.onHead(body)
    }
    return { kind: 'stored', etag }
  }

  get(key: string): StoredObject | null {
    const object = this.#objects.get(key)
    return object === undefined ? null : { bytes: Buffer.from(object.bytes), etag: object.etag }
  }

  list(prefix: string): string[] {
    return [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort()
  }

  delete(key: string): void {
    this.#world.trace(`s3 delete ${key}`)
    if (this.#objects.delete(key)) this.onDelete(key)
  }
}

export class SimObjectStore implements ObjectStore {
  readonly #process: Process
  readonly #network: Network
  readonly #s3: SimS3

  constructor(process: Process, network: Network, s3: SimS3) {
    this.#process = process
    this.#network = network
    this.#s3 = s3
  }

  put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<PutOutcome> {
    const copy = Buffer.from(bytes)
    return this.#call(`put ${key}`, () => this.#s3.put(key, copy, condition))
  }

  get(key: string): Promise<StoredObject | null> {
    return this.#call(`get ${key}`, () => this.#s3.get(key))
  }

  list(prefix: string): Promise<readonly string[]> {
    return this.#call(`list ${prefix}`, () => this.#s3.list(prefix))
  }

  delete(key: string): Promise<void> {
    return this.#call(`delete ${key}`, () => this.#s3.delete(key))
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  async #call<T>(what: string, handle: () => T): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#network.call(this.#process, this.#s3, what, CALL_TIMEOUT_MS, handle)
      } catch (error) {
        if (attempt < ATTEMPTS) continue
        throw new WeirError({ code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry', what }, (error as Error).message)
      }
    }
  }
}

/** Staged output as it is: compressing it takes real time and changes nothing. */
export const PLAIN = {
  compress: (part: Buffer) => Promise.resolve(part),
  decompress: (stored: Uint8Array) => Promise.resolve(Buffer.from(stored)),
}
