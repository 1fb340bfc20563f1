/** The contract of topics seen from outside, and of replays, over gRPC to the embedded log. */
import { contextOf, topicsContract } from '@weir/dataflow/testing'
import { systemClock } from '@weir/runtime/system'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { EmbeddedLog, FileStorage, LogClient, LogSink, LogTopics, serveLog } from '../index.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})
const context = contextOf('pay', 'out')
const options = {
  ...{ topic: 'out', poolSize: 3, transactionTimeoutMs: 60_000 },
  ...{ encodeKey: String, encodeValue: String },
}
const textOf = (bytes: Uint8Array | null): string => (bytes === null ? 'null' : Buffer.from(bytes).toString())

topicsContract(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weir-log-'))
  const core = await EmbeddedLog.open(await FileStorage.open(folder), systemClock)
  const service = await serveLog(core)
  const log = new LogClient(service.address)
  const topics = new LogTopics(new LogClient(service.address))
  closers.push(
    () => core.close(),
    () => service.close(),
    () => log.close(),
    () => topics.close(),
  )
  for (const topic of ['out', 'dead', 'in']) await log.createTopic(topic, 2)
  return {
    topics,
    dead: 'dead',
    source: 'in',
    missing: 'not there',
    job: 'pay',
    settled: () => Promise.resolve(),
    sink: (asides) => new LogSink({ ...options, asides }, { context, log, clock: systemClock, staged: null }),
    async replayed() {
      const read = { topic: 'in', offset: 0, maxRecords: 100, readCommitted: true, maxWaitMs: 0 }
      const answers = await Promise.all([0, 1].map((partition) => log.read({ ...read, partition })))
      return answers.flatMap(({ records }, partition) =>
        records.map(({ key, value, headers = [] }) => {
          const named = headers.map(([name, of]) => `${name}=${textOf(of)}`)
          return `${partition} ${textOf(key)}=${textOf(value)} ${named.join(',')}`
        }),
      )
    },
  }
})
