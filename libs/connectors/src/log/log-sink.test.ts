import { WeirError, epoch, operatorUid } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { contextOf, twoPhaseSinkContract, type SinkHarness } from '@weir/dataflow/testing'
import { mkdtemp, open as openFile, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { EmbeddedLog, FileStorage, LogClient, LogSink, serveLog, type TransactionalLog } from '../index.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})
const context = contextOf('pay', 'out')

async function core(folder?: string): Promise<{ log: EmbeddedLog; folder: string }> {
  const at = folder ?? (await mkdtemp(join(tmpdir(), 'weir-log-')))
  const log = await EmbeddedLog.open(await FileStorage.open(at), systemClock)
  closers.push(() => log.close().catch(() => undefined))
  return { log, folder: at }
}

async function harness(over: (log: EmbeddedLog) => Promise<TransactionalLog>) {
  const { log } = await core()
  await log.createTopic('out', 2)
  await log.createTopic('dead', 2)
  const used = await over(log)
  return {
    sink: ({ staged, ...options }: Parameters<SinkHarness['sink']>[0]) =>
      new LogSink({ topic: 'out', encodeKey: String, ...options }, { context, log: used, clock: systemClock, staged }),
    committed: async () => (await Promise.all([0, 1].map((p) => readAll(used, p)))).flat(),
    aside: 'dead',
    missing: 'not there',
    committedAsides: async () => {
      const all = { partition: 1, offset: 0, maxRecords: 100, readCommitted: true, maxWaitMs: 0 }
      const { records } = await used.read({ topic: 'dead', ...all })
      return records.map(({ key, value, headers }) => {
        const named = (headers ?? []).map(([name, of]) => `${name}=${textOf(of)}`)
        return `${textOf(key)}=${textOf(value)} ${named.join(',')}`
      })
    },
    openTransactions: async () => (await used.describe('out')).openTransactions,
    expire: async (timeoutMs: number) => void (await log.expire(systemClock.monotonic() + timeoutMs)),
  }
}
const textOf = (bytes: Uint8Array | null): string => (bytes === null ? 'null' : Buffer.from(bytes).toString())
async function readAll(log: TransactionalLog, partition: number, readCommitted = true): Promise<string[]> {
  const values: string[] = []
  for (let offset = 0; ;) {
    const answer = await log.read({ topic: 'out', partition, offset, maxRecords: 7, readCommitted, maxWaitMs: 0 })
    values.push(...answer.records.map((r) => Buffer.from(r.value!).toString()))
    if (answer.nextOffset === offset) return values
    offset = answer.nextOffset
  }
}

describe('in one process', () => {
  twoPhaseSinkContract(() => harness((log) => Promise.resolve(log)))
})

describe('between processes', () => {
  twoPhaseSinkContract(() =>
    harness(async (log) => {
      const service = await serveLog(log)
      const client = new LogClient(service.address)
      closers.push(() => service.close())
      closers.push(() => client.close())
      return client
    }),
  )
})

test('a late last batch of a transaction stays in front of the next transaction', async () => {
  const { log } = await core()
  await log.createTopic('out', 1)
  let arrive = (): void => {}
  const late = new Promise<void>((resolve) => (arrive = resolve))
  let appended = 0
  const slow = new Proxy(log, {
    get: (_, name: keyof TransactionalLog) => async (request: never, more: never) => {
      if (name === 'append' && appended++ === 0) await late
      return (log[name] as (...args: unknown[]) => unknown)(request, more)
    },
  })
  const options = { topic: 'out', poolSize: 2, transactionTimeoutMs: 60_000, encodeKey: String, encodeValue: String }
  const sink = new LogSink(options, { context, log: slow, clock: systemClock, staged: null })
  await sink.recover(null)
  const write = (value: string) => sink.write({ keys: ['k'], values: [value], timestamps: [1] })
  await write('before the barrier')
  const first = sink.prepare({ epoch: epoch(1), ...context.attempt })
  await write('behind it')
  const second = sink.prepare({ epoch: epoch(2), ...context.attempt })
  arrive()
  await Promise.all([first, second])
  await sink.commit(2)
  expect(await readAll(log, 0)).toEqual(['before the barrier', 'behind it'])
})

test('A11: who has stood still in a recovery takes no id over', async () => {
  const { log } = await core()
  await log.createTopic('out', 1)
  const options = { topic: 'out', poolSize: 2, transactionTimeoutMs: 60_000, encodeKey: String, encodeValue: String }
  const successor = new LogSink(options, { context, log, clock: systemClock, staged: null })
  let stoodStillMs = 0
  const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + stoodStillMs }
  const stopped = new Proxy(log, {
    get: (_, name: keyof TransactionalLog) => async (request: never, more: never) => {
      if (name === 'describe') {
        // Its work is given to another, and it wakes.
        await successor.recover(null)
        await successor.write({ keys: ['k'], values: ['of the successor'], timestamps: [1] })
        stoodStillMs = 30_000
      }
      return (log[name] as (...args: unknown[]) => unknown)(request, more)
    },
  })
  const woken = new LogSink(options, { context, log: stopped, clock, staged: null })
  await expect(woken.recover(null)).rejects.toMatchObject({ code: 'PROCESS_SUSPENDED', kind: 'restart' })
  await successor.prepare({ epoch: epoch(1), ...context.attempt })
  await successor.commit(1)
  expect(await readAll(log, 0)).toEqual(['of the successor'])
})

test('C8: an EndTxn without an answer refuses nothing: what it was to commit is not fenced', async () => {
  const { log } = await core()
  await log.createTopic('out', 1)
  let away = false
  const silent = new Proxy(log, {
    get: (_, name: keyof TransactionalLog) => (request: never, more: never) => {
      if (away && name === 'end') throw new WeirError({ code: 'LOG_UNREACHABLE', kind: 'restart' }, 'no answer')
      return (log[name] as (...args: unknown[]) => unknown)(request, more)
    },
  })
  const options = { topic: 'out', poolSize: 2, transactionTimeoutMs: 60_000, encodeKey: String, encodeValue: String }
  const sink = () => new LogSink(options, { context, log: silent, clock: systemClock, staged: null })
  const first = sink()
  await first.recover(null)
  await first.write({ keys: ['k'], values: ['published'], timestamps: [1] })
  const prepared = await first.prepare({ epoch: epoch(1), ...context.attempt })
  away = true
  await expect(sink().recover(prepared)).rejects.toMatchObject({ code: 'LOG_UNREACHABLE' })
  away = false
  expect(await sink().recover(prepared)).toMatchObject([{ sequence: 1, outcome: 'committed', by: 'end-txn' }])
  expect(await readAll(log, 0)).toEqual(['published'])
})

describe('the log after a restart', () => {
  const record = (text: string) => ({ key: null, value: Buffer.from(text), timestamp: 1 })
  async function filled(): Promise<string> {
    const { log, folder } = await core()
    await log.createTopic('out', 2)
    const tx = { transactionalId: 't', ...(await log.initProducer('t', 60_000)) }
    const request = { ...tx, topic: 'out', partition: 0, baseSequence: 0, records: [record('kept')] }
    expect(await log.append(request)).toBe(0)
    expect(await log.append(request)).toBe(0) // repeated: acknowledged, not written twice
    await log.mark(tx, { group: 'g', sequence: 1 })
    const next = { transactionalId: 't', ...(await log.end(tx, true)) }
    await log.append({ ...request, ...next, records: [record('aborted')] })
    const last = { transactionalId: 't', ...(await log.end(next, false)) }
    await log.append({ ...request, ...last, records: [record('open')] })
    await log.close()
    return folder
  }

  test('committed is there, aborted is not read, what was open is open and can be ended', async () => {
    const { log } = await core(await filled())
    expect(await readAll(log, 0)).toEqual(['kept'])
    expect(await log.marker('g')).toBe(1)
    expect((await log.describe('out')).openTransactions).toBe(1)
    expect(await log.outcome('1', 'out', 0, 0)).toBe('commit')
    await log.initProducer('t', 60_000)
    expect((await log.describe('out')).openTransactions).toBe(0)
    expect(await readAll(log, 0, false)).toEqual(['kept', 'aborted', 'open'])
  })

  test('a torn tail was never acknowledged: it is cut off', async () => {
    const folder = await filled()
    const file = await openFile(join(folder, 'log.bin'), 'a')
    await file.write(Buffer.from([0, 0, 0, 9, 1, 2]))
    await file.close()
    const { log } = await core(folder)
    expect(await readAll(log, 0)).toEqual(['kept'])
  })

  test('a flipped byte in the middle stops the start with its offset', async () => {
    const folder = await filled()
    const path = join(folder, 'log.bin')
    const { size } = await stat(path)
    const file = await openFile(path, 'r+')
    await file.write(Buffer.from([0xff]), 0, 1, Math.floor(size / 2))
    await file.close()
    await expect(core(folder)).rejects.toMatchObject({ code: 'LOG_CORRUPT', kind: 'invalid' })
  })
})

test('the key that is made of the value chooses the partition, as the same key of the stream would', async () => {
  const { log } = await core()
  await log.createTopic('out', 2)
  const options = { topic: 'out', poolSize: 2, transactionTimeoutMs: 60_000, encodeKey: String, encodeValue: String }
  const values = Array.from({ length: 20 }, (_, i) => i)
  const written: string[][][] = []
  for (const keyOf of [undefined, (value: unknown) => `k-${Number(value) % 5}`]) {
    const own = { ...context, operatorUid: operatorUid(`out-${written.length}`) }
    const sink = new LogSink({ ...options, keyOf }, { context: own, log, clock: systemClock, staged: null })
    await sink.recover(null)
    const keys = keyOf === undefined ? values.map((value) => `k-${value % 5}`) : null
    await sink.write({ keys, values, timestamps: values })
    const { sequence } = await sink.prepare({ ...context.attempt, epoch: epoch(written.length + 1) })
    await sink.commit(sequence)
    written.push(await Promise.all([0, 1].map((partition) => readAll(log, partition))))
  }
  const [byStream, both] = written
  expect(both).toEqual(byStream!.map((of) => [...of, ...of]))
})
