/**
 * Receipts on a broker of the test's own, so that somebody can do what must not pass: write a record beside the job, take
 * receipts away, change bytes in the broker's files.
 */
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { open, readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { crc32c } from '@node-rs/crc32'
import {
  planJob,
  provenanceOf,
  verifyJob,
  type Finding,
  type Provenance,
  type Verification,
  type VerifyDeps,
} from '@weir/dataflow'
import { KafkaConnections, KafkaSink, KafkaSource, KafkaTopics } from '@weir/kafka'
import { attempt, epoch, generation, jobId, subtask } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { Slice, type SliceReport } from '@weir/runtime'
import { MemoryExchange } from '@weir/runtime/testing'
import { job, json, kafka as topics } from '@weir/sdk'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { settled } from '../../libs/kafka/src/testing/settled.ts'
import { PrivateServer } from '../stack/private-server.ts'
import { createTopics } from '../stack/topics.ts'

const EPOCHS = 4
const PER_EPOCH = 50
const audited = job('audited', { audit: true }, (flow) =>
  flow
    .from(topics.topic('in', { value: json<{ n: number }>() }), 'in')
    .map(({ n }) => ({ n, square: n * n }), 'squares')
    .to(topics.sink('out'), 'out'),
)

let broker: PrivateServer<'kafka'>
let kafka: KafkaConnections
const { signal } = new AbortController()

beforeAll(async () => {
  broker = await PrivateServer.start('kafka')
  kafka = new KafkaConnections({ brokers: [broker.endpoint], clientId: 'weir-audit' }, { clock: systemClock })
  const admin = kafka.admin()
  await admin.connect()
  await createTopics(admin, ['in', 'out', 'audited.receipts'], 1)
  await admin.disconnect()
  await runEpochs()
})
afterAll(async () => {
  await kafka.close()
  await broker.close()
})

/** The job, driven by hand: input, barrier, commit, again and again. */
async function runEpochs(): Promise<void> {
  const reports: SliceReport[] = []
  let look = (): void => {}
  const slice = new Slice(
    {
      ...{ jobId: jobId('audited'), subtask: subtask(0), plan: planJob(audited), freeze: true },
      attempt: { generation: generation(1), attempt: attempt(1) },
    },
    {
      clock: systemClock,
      exchange: new MemoryExchange(),
      createSource(_node, context) {
        const options = { topic: 'in', startFrom: 'earliest', until: 'none', isolation: 'read_committed' } as const
        return new KafkaSource(options, { context, kafka, clock: systemClock })
      },
      createSink({ encodeKey, encodeValue }, context, asides) {
        const options = { topic: 'out', poolSize: 2, transactionTimeoutMs: 60_000, encodeKey, encodeValue, asides }
        return new KafkaSink(options, { context, kafka, clock: systemClock, staged: null })
      },
      createContinuousSink: () => Promise.reject(new Error('not this scope')) as never,
      openState: () => Promise.reject(new Error('no state')),
      report(report) {
        reports.push(report)
        look()
      },
      turn: () => new Promise((resolve) => setImmediate(resolve)),
    },
  )
  const until = <T extends SliceReport>(is: (report: SliceReport) => report is T): Promise<T> =>
    new Promise((resolve, reject) => {
      look = () => {
        const failed = reports.find((report) => report.type === 'failed')
        if (failed) return reject(failed.error)
        const found = reports.find(is)
        if (found) resolve(found)
      }
      look()
    })
  await slice.recover(null)
  await slice.run([{ subtask: subtask(0), taskManagerId: 'tm', exchangeAddress: '' }])
  for (let n = 1; n <= EPOCHS; n++) {
    await put(
      'in',
      Array.from({ length: PER_EPOCH }, (_, i) => JSON.stringify({ n: (n - 1) * PER_EPOCH + i })),
    )
    await until((r): r is SliceReport & { type: 'progress' } => r.type === 'progress' && r.recordsIn === n * PER_EPOCH)
    slice.trigger({ generation: generation(1), attempt: attempt(1), epoch: epoch(n) })
    const { snapshot } = await until(
      (r): r is SliceReport & { type: 'ack' } => r.type === 'ack' && r.checkpoint.epoch === n,
    )
    slice.commit(epoch(n), { out: (snapshot.sinks['out'] as { sequence: number }).sequence })
    await until((r): r is SliceReport & { type: 'committed' } => r.type === 'committed' && r.epoch === n)
  }
  await settled(kafka, 'weir.audited')
  await slice.stop('leave')
}

/** By somebody who is not the job. */
async function put(topic: string, values: readonly string[]): Promise<void> {
  const transaction = await new KafkaTopics({ kafka, clock: systemClock, signal }).begin('somebody')
  const record = { topic, partition: 0, key: null, timestamp: Date.now(), headers: [] }
  await transaction.write(values.map((value) => ({ ...record, value: Buffer.from(value) })))
  await transaction.commit()
  await settled(kafka, 'somebody')
}
const options = { jobId: 'audited', topic: 'audited.receipts', shared: [] }
const deps = (): VerifyDeps => ({
  topics: new KafkaTopics({ kafka, clock: systemClock, signal }),
  hashes: { sha256: (bytes) => hash('sha256', bytes, 'hex'), crc32: (bytes) => crc32(bytes) },
  settle: () => Promise.resolve(),
})
const verify = (): Promise<Verification> => verifyJob(options, deps())
const ask = (topic: string, offset: number): Promise<Provenance> =>
  provenanceOf({ topic, partition: 0, offset }, options, deps())
const brief = ({ findings }: Verification): [Finding['code'], Finding['facts']][] =>
  findings.map(({ code, facts }) => [code, facts])

/** Replaces text by text of the same length in the broker's own file of a topic, in place, with a checksum that fits. */
async function rewrite(topic: string, from: string, to: string): Promise<void> {
  const folders = (await readdir(dirname(broker.logFile), { recursive: true })).filter((f) => f.endsWith(`${topic}-0`))
  const file = join(dirname(broker.logFile), folders[0]!, '00000000000000000000.log')
  const handle = await open(file, 'r+')
  const bytes = await handle.readFile()
  const found = bytes.indexOf(from)
  expect(found, `${from} in ${file}`).toBeGreaterThan(0)
  bytes.write(to, found)
  for (let at = 0; at + 61 <= bytes.length && bytes.readInt32BE(at + 8) > 0;) {
    const end = at + 12 + bytes.readInt32BE(at + 8)
    if (found > at && found < end) {
      bytes.writeUInt32BE(crc32c(bytes.subarray(at + 21, end)), at + 17)
      await handle.write(bytes, at, end - at, at)
    }
    at = end
  }
  await handle.close()
}

test('what the job has written and read is as its receipts say', async () => {
  const records = EPOCHS * PER_EPOCH
  expect(await verify()).toEqual({ receipts: EPOCHS, outputs: records, inputs: records, findings: [], more: false })
})

test('of a record it can be asked who read it, or who wrote it and of what', async () => {
  const receipt = (sequence: number): object => ({ sink: 'out', subtask: 0, sequence, epoch: sequence, run: '1.1' })
  // The first of the third epoch: behind two epochs of one transaction each, with its control record.
  const third = 2 * (PER_EPOCH + 1)
  expect(await ask('in', third)).toMatchObject({
    read: [{ ...receipt(3), source: 'in' }],
    written: null,
    madeOf: null,
  })
  expect(await ask('out', third)).toMatchObject({
    read: [],
    written: receipt(3),
    madeOf: { 'in/0': third + PER_EPOCH },
  })
  await expect(ask('out', third - 1)).rejects.toMatchObject({ code: 'RECORD_NOT_FOUND', kind: 'invalid' })
  await expect(ask('out', 1_000_000)).rejects.toMatchObject({ code: 'RECORD_NOT_FOUND' })
})

test('a record that somebody else writes is named', async () => {
  await put('out', ['{"n":3,"square":10}'])
  const [[code, facts], ...others] = brief(await verify()) as [[string, object], ...unknown[]]
  // Behind four transactions, each with its control record.
  expect([code, facts, others]).toMatchObject([
    'OUTPUT_WITHOUT_RECEIPT',
    { topic: 'out', partition: 0, offset: EPOCHS * (PER_EPOCH + 1) },
    [],
  ])
  expect(await ask('out', EPOCHS * (PER_EPOCH + 1))).toEqual({ read: [], written: null, madeOf: null })
})

test('bytes changed in the files of the broker, a receipt hidden there: both are named', async () => {
  await rewrite('out', '{"n":60,"square":3600}', '{"n":60,"square":3601}')
  await rewrite('audited.receipts', '"sequence":3', '"sequence":7')
  const found = brief(await verify())
  expect(found).toMatchObject([
    ['RECEIPT_MISSING', { sink: 'out', subtask: 0, sequence: 3 }],
    ['RECEIPT_MISSING', { sequence: 5 }],
    ['RECEIPT_MISSING', { sequence: 6 }],
    ['OUTPUT_TAMPERED', { topic: 'out', sequence: 2, offsets: [PER_EPOCH + 1 + 10] }],
    ['OUTPUT_WITHOUT_RECEIPT', {}],
  ])
})

test('receipts that were deleted are named', async () => {
  const admin = kafka.admin()
  await admin.connect()
  await admin.fetchTopicOffsets('audited.receipts')
  await admin.deleteTopicRecords({ topic: 'audited.receipts', partitions: [{ partition: 0, offset: '2' }] })
  await admin.disconnect()
  const missing = brief(await verify()).filter(([code]) => code === 'RECEIPT_MISSING')
  expect(missing).toMatchObject([
    ['RECEIPT_MISSING', { sequence: 1 }],
    ['RECEIPT_MISSING', { sequence: 3 }],
    ['RECEIPT_MISSING', { sequence: 5 }],
    ['RECEIPT_MISSING', { sequence: 6 }],
  ])
})
