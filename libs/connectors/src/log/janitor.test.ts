/** The contract of every transaction janitor, over gRPC to the embedded log. */
import { contextOf, janitorContract } from '@weir/dataflow/testing'
import { systemClock } from '@weir/runtime/system'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { EmbeddedLog, FileStorage, LogClient, LogJanitor, LogSink, serveLog } from '../index.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})
const context = contextOf('pay', 'out')
const options = {
  ...{ topic: 'out', poolSize: 3, transactionTimeoutMs: 60_000 },
  ...{ encodeKey: String, encodeValue: String },
}

janitorContract(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weir-log-'))
  const core = await EmbeddedLog.open(await FileStorage.open(folder), systemClock)
  const service = await serveLog(core)
  const log = new LogClient(service.address)
  const janitor = new LogJanitor(new LogClient(service.address))
  closers.push(
    () => core.close(),
    () => service.close(),
    () => log.close(),
    () => janitor.close(),
  )
  await log.createTopic('out', 1)
  return {
    prefix: 'weir.pay.',
    janitor,
    sink: () => new LogSink(options, { context, log, clock: systemClock, staged: null }),
    async committed() {
      const read = { topic: 'out', partition: 0, offset: 0, maxRecords: 100, readCommitted: true, maxWaitMs: 0 }
      return (await log.read(read)).records.map((r) => Buffer.from(r.value!).toString())
    },
  }
})
