/** Objects in S3. Conditional puts are what head.json rests on: whether the store has them is asked before it is trusted. */
import type { S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import type { MultipartUpload, ObjectStore, PutCondition, PutOutcome, StoredObject } from '@weir/checkpoint'
import { PoolMeter, WeirError, type PoolState, type Random } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { crc32 } from 'node:zlib'

export interface S3Options {
  /** Null: AWS itself. */
  readonly endpoint: string | null
  readonly region: string
  readonly bucket: string
  /** Put before every key, e.g. `weir/prod/`; empty or ending with a slash. */
  readonly prefix: string
  /** Null: the default credential chain. */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | null
  /** At a time; absent: `S3_CONNECTIONS`. */
  readonly connectionsMax?: number
  /** For an answer to begin, and to go on; absent: `REQUEST_TIMEOUT_MS`. */
  readonly requestTimeoutMs?: number
}

export const S3_CONNECTIONS = 50
const CONNECT_TIMEOUT_MS = 2_000
const REQUEST_TIMEOUT_MS = 10_000
const ATTEMPTS = 3

/** The largest of the modules of a slot: loaded where there is such a store, not where objects lie in a folder. */
type Sdk = typeof import('./s3-sdk.ts')
interface Opened {
  readonly sdk: Sdk
  readonly client: S3Client
  readonly meter: PoolMeter
}

const statusOf = (error: unknown): number | undefined =>
  (error as Partial<S3ServiceException>).$metadata?.httpStatusCode
const isNamed = (error: unknown, name: string): boolean => (error as Error).name === name

export class S3ObjectStore implements ObjectStore {
  readonly #options: S3Options
  #opened: Promise<Opened> | null = null

  constructor(options: S3Options) {
    this.#options = options
  }

  #s3(): Promise<Opened> {
    return (this.#opened ??= import('./s3-sdk.ts').then((sdk) => this.#open(sdk)))
  }

  #open(sdk: Sdk): Opened {
    const { region, endpoint, credentials, connectionsMax = S3_CONNECTIONS } = this.#options
    const { requestTimeoutMs = REQUEST_TIMEOUT_MS } = this.#options
    const client = new sdk.S3Client({
      region,
      ...(endpoint === null ? {} : { endpoint, forcePathStyle: true }),
      ...(credentials === null ? {} : { credentials }),
      maxAttempts: ATTEMPTS,
      requestHandler: {
        httpAgent: { maxSockets: connectionsMax },
        httpsAgent: { maxSockets: connectionsMax },
        connectionTimeout: CONNECT_TIMEOUT_MS,
        requestTimeout: requestTimeoutMs,
        // Behind the headers of an answer, too: of its body nothing may come any more.
        socketTimeout: requestTimeoutMs,
        throwOnRequestTimeout: true,
      },
    })
    const meter = new PoolMeter('s3', systemClock, () => socketsOf(client, connectionsMax))
    // Innermost: each try of a request by itself.
    client.middlewareStack.add((next) => (args) => meter.during(() => next(args)), {
      ...{ name: 'weirPoolMeter', step: 'deserialize', priority: 'low' },
    })
    return { sdk, client, meter }
  }

  /**
   * Whether the store honours If-None-Match and If-Match: without them it is no arbiter, since two leaders could both own a
   * job (PROTOCOL C2). Throws `OBJECT_STORE_REFUSED` (invalid: keys, bucket), or kind `retry`.
   */
  async honoursConditions(random: Random): Promise<boolean> {
    const key = `probe/${random.nonce()}`
    const body = (text: string): Uint8Array => Buffer.from(text)
    const first = await this.put(key, body('1'), { ifNoneMatch: '*' })
    const second = await this.put(key, body('2'), { ifNoneMatch: '*' })
    const wrong = await this.put(key, body('3'), { ifMatch: '"00000000000000000000000000000000"' })
    const right = first.kind === 'stored' ? await this.put(key, body('4'), { ifMatch: first.etag }) : first
    await this.delete(key)
    return first.kind === 'stored' && second.kind === 'lost' && wrong.kind === 'lost' && right.kind === 'stored'
  }

  async put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<PutOutcome> {
    try {
      const { sdk, client } = await this.#s3()
      const answer = await client.send(
        new sdk.PutObjectCommand({
          Bucket: this.#options.bucket,
          Key: this.#key(key),
          Body: bytes,
          ...(condition === undefined
            ? {}
            : 'ifMatch' in condition
              ? { IfMatch: condition.ifMatch }
              : { IfNoneMatch: condition.ifNoneMatch }),
        }),
      )
      return { kind: 'stored', etag: answer.ETag! }
    } catch (error) {
      // 412 lost; 409 a conditional write at the same time; 404 the key of an If-Match is gone: all of them "not us".
      const status = statusOf(error)
      if (
        condition !== undefined &&
        !isNamed(error, 'NoSuchBucket') &&
        (status === 412 || status === 409 || status === 404)
      ) {
        return { kind: 'lost' }
      }
      throw this.#failure(`writing ${key}`, error)
    }
  }

  async get(key: string): Promise<StoredObject | null> {
    try {
      const { sdk, client } = await this.#s3()
      const answer = await client.send(new sdk.GetObjectCommand({ Bucket: this.#options.bucket, Key: this.#key(key) }))
      return { bytes: await answer.Body!.transformToByteArray(), etag: answer.ETag! }
    } catch (error) {
      if (isNamed(error, 'NoSuchKey')) return null
      throw this.#failure(`reading ${key}`, error)
    }
  }

  async readRange(key: string, from: number, to: number): Promise<Uint8Array | null> {
    try {
      const { sdk, client } = await this.#s3()
      const answer = await client.send(
        new sdk.GetObjectCommand({
          Bucket: this.#options.bucket,
          Key: this.#key(key),
          Range: `bytes=${from}-${to - 1}`,
        }),
      )
      const bytes = await answer.Body!.transformToByteArray()
      // Short, it would pass for an object that ends there.
      const [, first, last, all] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(answer.ContentRange ?? '') ?? []
      const end = Math.min(to, Number(all))
      if (Number(first) !== from || Number(last) !== end - 1 || bytes.length !== end - from)
        throw truncated(key, bytes, Math.min(to, Number(all ?? to)) - from)
      return bytes
    } catch (error) {
      if (isNamed(error, 'NoSuchKey')) return null
      // 416: it ends before `from`.
      if (statusOf(error) === 416) return new Uint8Array()
      throw this.#failure(`reading ${key}`, error)
    }
  }

  async multipart(key: string): Promise<MultipartUpload> {
    const at = { Bucket: this.#options.bucket, Key: this.#key(key) }
    const tags = new Map<number, { readonly ETag: string; readonly ChecksumCRC32: string; readonly bytes: number }>()
    const send = async <T>(what: string, call: () => Promise<T>): Promise<T> => {
      try {
        return await call()
      } catch (error) {
        throw this.#failure(`${what} ${key}`, error)
      }
    }
    const { sdk, client } = await send('beginning', () => this.#s3())
    const begin = new sdk.CreateMultipartUploadCommand({ ...at, ChecksumAlgorithm: 'CRC32' })
    const { UploadId } = await send('beginning', () => client.send(begin))
    return {
      part: (number, bytes) =>
        send(`writing part ${number} of`, async () => {
          const checksum = Buffer.alloc(4)
          checksum.writeUInt32BE(crc32(bytes))
          const ChecksumCRC32 = checksum.toString('base64')
          const part = { ...at, UploadId, PartNumber: number, Body: bytes, ChecksumCRC32 }
          const { ETag } = await client.send(new sdk.UploadPartCommand(part))
          tags.set(number, { ETag: ETag!, ChecksumCRC32, bytes: bytes.length })
        }),
      complete: () =>
        send('completing', async () => {
          const Parts = [...tags]
            .sort(([a], [b]) => a - b)
            .map(([PartNumber, { ETag, ChecksumCRC32 }]) => ({ PartNumber, ETag, ChecksumCRC32 }))
          const MultipartUpload = { Parts }
          try {
            await client.send(new sdk.CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload }))
          } catch (error) {
            // Asked again after a lost answer: the upload is gone because the object is there.
            if (!isNamed(error, 'NoSuchUpload')) throw error
            const { ContentLength } = await client.send(new sdk.HeadObjectCommand(at))
            if (ContentLength !== [...tags.values()].reduce((sum, { bytes }) => sum + bytes, 0)) throw error
          }
        }),
      abort: () =>
        send('abandoning', async () => {
          await client.send(new sdk.AbortMultipartUploadCommand({ ...at, UploadId }))
        }),
    }
  }

  async list(prefix: string): Promise<readonly string[]> {
    const keys: string[] = []
    let token: string | undefined
    try {
      const { sdk, client } = await this.#s3()
      do {
        const page = await client.send(
          new sdk.ListObjectsV2Command({
            Bucket: this.#options.bucket,
            Prefix: this.#key(prefix),
            ContinuationToken: token,
          }),
        )
        for (const { Key } of page.Contents ?? []) keys.push(Key!.slice(this.#options.prefix.length))
        token = page.NextContinuationToken
      } while (token !== undefined)
    } catch (error) {
      throw this.#failure(`listing ${prefix}`, error)
    }
    return keys.sort()
  }

  async delete(key: string): Promise<void> {
    try {
      const { sdk, client } = await this.#s3()
      await client.send(new sdk.DeleteObjectCommand({ Bucket: this.#options.bucket, Key: this.#key(key) }))
    } catch (error) {
      throw this.#failure(`deleting ${key}`, error)
    }
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return
    const what = `deleting ${keys.length} objects, ${keys[0]} first`
    try {
      const Objects = keys.map((key) => ({ Key: this.#key(key) }))
      const { sdk, client } = await this.#s3()
      const { Errors: errors = [] } = await client.send(
        new sdk.DeleteObjectsCommand({ Bucket: this.#options.bucket, Delete: { Objects, Quiet: true } }),
      )
      if (errors.length > 0) throw new Error(`${errors.length} not deleted: ${errors[0]!.Code}, ${errors[0]!.Message}`)
    } catch (error) {
      throw this.#failure(what, error)
    }
  }

  async close(): Promise<void> {
    if (this.#opened === null) return
    const { client, meter } = await this.#opened
    meter.close()
    client.destroy()
  }

  #key(key: string): string {
    return this.#options.prefix + key
  }

  #failure(what: string, error: unknown): WeirError {
    if (error instanceof WeirError) return error
    const { bucket, endpoint } = this.#options
    const status = statusOf(error)
    const refused = status === 403 || status === 401 || (error as Error).name === 'NoSuchBucket'
    const message = (error as Error).message || String(error)
    return refused
      ? new WeirError(
          { code: 'OBJECT_STORE_REFUSED', kind: 'invalid', bucket, status },
          `${what}: the object store refused (${(error as Error).name}: ${message}). Check bucket "${bucket}" and the keys.`,
          { cause: error },
        )
      : new WeirError(
          { code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry', bucket, status },
          `${what}: no answer from the object store at ${endpoint ?? 'AWS'} (${message})`,
          { cause: error },
        )
  }
}

const truncated = (key: string, { length }: Uint8Array, expected: number): WeirError =>
  new WeirError(
    { code: 'OBJECT_TRUNCATED', kind: 'retry', objectKey: key, bytes: length, expected },
    `reading ${key}: the object store has answered ${length} bytes in place of ${expected}. Does a proxy in front of it cut answers, or leave out ranges?`,
  )

/** Of an agent of node:http, which has them by server. */
type ByServer = Readonly<Partial<Record<string, readonly unknown[]>>>
interface Sockets {
  readonly sockets: ByServer
  readonly freeSockets: ByServer
  readonly requests: ByServer
}
/** The handler of requests that this client has on Node. */
interface NodeHandler {
  httpHandlerConfigs(): { readonly httpAgent?: Sockets; readonly httpsAgent?: Sockets }
}
const countOf = (of: ByServer): number => Object.values(of).reduce((sum, each) => sum + (each?.length ?? 0), 0)

/** Before its first request a client has no agents. */
function socketsOf({ config }: S3Client, max: number): PoolState {
  const { httpAgent, httpsAgent } = (config.requestHandler as unknown as NodeHandler).httpHandlerConfigs()
  const agents = [httpAgent, httpsAgent].filter((agent) => agent !== undefined)
  const sum = (count: (agent: Sockets) => number): number => agents.reduce((all, agent) => all + count(agent), 0)
  const busy = sum(({ sockets }) => countOf(sockets))
  return {
    busy,
    open: busy + sum(({ freeSockets }) => countOf(freeSockets)),
    waiting: sum(({ requests }) => countOf(requests)),
    max,
  }
}
