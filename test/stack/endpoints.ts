/**
 * Where the real servers are. `npm run stack -- up` writes .weir/stack.json; a test that needs a server and finds none
 * fails with the remedy, it never skips.
 */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface StackEndpoints {
  /** host:port */
  readonly kafka: string
  /** host:port of a broker with transaction.version=1; see `brokersByProtocol` */
  readonly kafkaV1?: string
  /** host:port */
  readonly etcd: string
  readonly s3: { readonly url: string; readonly accessKey: string; readonly secretKey: string; readonly bucket: string }
  /** host:port */
  readonly redis: string
  /** A connection string, with its password; absent in a stack that was started before there was one. */
  readonly postgres?: string
}

const file = fileURLToPath(new URL('../../.weir/stack.json', import.meta.url))

export function stackEndpoints(): StackEndpoints {
  if (!existsSync(file)) {
    throw new Error('This test needs the real servers. Start them with: npm run stack -- up')
  }
  return JSON.parse(readFileSync(file, 'utf8')) as StackEndpoints
}

/** For `describe.each`: what holds for transactions must hold under both of Kafka's protocols. */
export function brokersByProtocol(): readonly (readonly [protocol: 'v1' | 'v2', broker: string])[] {
  const { kafka, kafkaV1 } = stackEndpoints()
  if (kafkaV1 === undefined) {
    throw new Error('The running stack has no second broker. Start what is missing with: npm run stack -- up')
  }
  return [
    ['v2', kafka],
    ['v1', kafkaV1],
  ]
}

/** A connection string of a superuser; `wal_level` is logical. */
export function postgresUrl(): string {
  const { postgres } = stackEndpoints()
  if (postgres === undefined) {
    throw new Error('The running stack has no PostgreSQL. Start what is missing with: npm run stack -- up')
  }
  return postgres
}
