/**
 * Dead letters and receipts of two slices on the embedded log: every bad record once, every good one's outputs once, also
 * when killed; and nothing can be changed afterwards that a verification does not name.
 */
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { LogTopics, type ReadRecord } from '@weir/connectors'
import { planJob, verifyJob, type Receipt, type StoredRecord, type Topics, type Verification } from '@weir/dataflow'
import type { AsideRecord } from '@weir/model'
import { job, json, log as logs, tumbling, type Codec } from '@weir/sdk'
import { afterEach, expect, test } from 'vitest'
import { elementsOf } from './dead-letters.ts'
import { Fleet, World, closeAll } from './embedded.fixture.ts'

interface Order {
  readonly id: number
  readonly user: string
  /** Where it fails. */
  readonly bad?: string
}
interface Sum {
  readonly count: number
  readonly last: Order
}

const failAt = (place: string, order: Order): Order => {
  if (order.bad === place) throw new RangeError(`bad at ${place}`)
  return order
}
const sums: Codec<Sum> = {
  ...json<Sum>(),
  encode: ({ count, last }) => JSON.stringify([count, failAt('sink', last).id]),
}

const settings = { parallelism: 2, deadLetters: logs.sink('dead'), audit: true }
const ordersWith = (unaligned: boolean) =>
  job('orders', { ...settings, checkpoint: { unaligned } }, (flow) => {
    const byUser = flow
      .from(logs.topic('in', { value: json<Order>(), until: 'latest' }), 'orders')
      .filter((order) => failAt('filter', order).user !== 'nobody', 'somebody')
      .map((order) => failAt('map', order), 'checked')
      .flatMap(
        (order) => (order.bad === 'second' ? [{ ...order, bad: '' }, order] : [failAt('flatMap', order)]),
        'parts',
      )
      .map((order) => failAt('second', order), 'second')
      .keyBy((order) => (order.bad === 'key' ? Number.NaN : order.user), 'by-user')
    byUser
      .reduce('sum', { count: 0, last: { id: -1, user: '' } } as Sum, ({ count }, last) => {
        return { count: count + 1, last: failAt('reduce', last) }
      })
      .to(logs.sink('out', { value: sums }), 'sums')
    byUser
      .window(tumbling('1s'))
      .reduce('perSecond', 0, (n, order) => (failAt('window', order) ? n + 1 : n))
      .map((window) => {
        if (window.start === 1_000) throw new RangeError('bad at result')
        return window
      }, 'results')
      .to(logs.sink('counts'))
  })

/** Where a record fails → operator and error code of its dead letter. */
const PLACES: Record<string, [operator: string, code: string]> = {
  decode: ['orders', 'DECODE_FAILED'],
  filter: ['somebody', 'OPERATOR_FAILED'],
  map: ['checked', 'OPERATOR_FAILED'],
  flatMap: ['parts', 'OPERATOR_FAILED'],
  second: ['second', 'OPERATOR_FAILED'],
  key: ['by-user', 'KEY_INVALID'],
  reduce: ['sum', 'OPERATOR_FAILED'],
  window: ['perSecond', 'OPERATOR_FAILED'],
  sink: ['sums', 'ENCODE_FAILED'],
}
const PER_SPLIT = 100
const badAt = (id: number): string | undefined =>
  id % 5 === 2 ? Object.keys(PLACES)[Math.floor(id / 5) % 9] : undefined
const input = [0, 1].map((split) =>
  Array.from({ length: PER_SPLIT }, (_, i) => {
    const id = i * 2 + split
    const bad = badAt(id)
    return bad === 'decode' ? `{"id":${id}, oops` : JSON.stringify({ id, user: `u${id % 7}`, ...(bad && { bad }) })
  }),
)

const TOPICS = ['out', 'counts', 'dead', 'orders.receipts']
afterEach(closeAll)

const said = (record: ReadRecord): Record<string, string> =>
  Object.fromEntries(
    record.headers!.flatMap(([name, value]) => {
      return name.startsWith('weir.dead.') ? [[name.slice(10), Buffer.from(value!).toString()]] : []
    }),
  )

/** The dumb way: each record on its own. */
async function check(world: World): Promise<void> {
  const all = input.flatMap((lines, split) => lines.map((line, i) => ({ id: i * 2 + split, split, i, line })))
  const dead = await world.read('dead')
  const letters = dead.filter((record) => said(record)['value'] === 'original')
  const expected = all.flatMap(({ id, split, i, line }) => {
    const bad = badAt(id)
    if (bad === undefined) return []
    const [operator, error] = PLACES[bad]!
    const first = {
      job: 'orders',
      operator,
      error,
      topic: 'in',
      partition: String(split),
      offset: String(i),
      attempt: '1',
    }
    const ordinal = ['reduce', 'window', 'sink', 'key'].includes(bad) ? '0' : bad === 'second' ? '1' : undefined
    const replay = ['decode', 'filter', 'map', 'flatMap'].includes(bad) ? 'whole' : 'partial'
    const facts = {
      ...first,
      ...(ordinal && { ordinal }),
      replay,
      key: `k${i}`,
      line,
      trace: `t${split}-${i}`,
      at: split,
    }
    // Both branches behind the keyBy look at it; only one of them fails.
    return [facts]
  })
  const found = letters.map((record) => {
    const { message, run, value, ...facts } = said(record)
    expect([message, run, value]).toEqual([expect.any(String), expect.stringMatching(/^1\.\d$/), 'original'])
    const trace = record.headers!.find(([name]) => name === 'trace')![1]!
    const [key, line] = [Buffer.from(record.key!).toString(), Buffer.from(record.value!).toString()]
    return { ...facts, key, line, trace: Buffer.from(trace).toString(), at: record.partition }
  })
  const order = (a: { line: string }, b: { line: string }): number => (a.line < b.line ? -1 : 1)
  expect(found.sort(order)).toEqual(expected.sort(order))

  // Where a record fails in one branch, the other one still has it.
  const counted = (bad: string | undefined, branch: string): boolean =>
    bad === undefined || bad === 'second' || (['reduce', 'window', 'sink'].includes(bad) && bad !== branch)
  const outputs = (await world.read('out')).map((r) => (JSON.parse(Buffer.from(r.value!).toString()) as number[])[1]!)
  const good = all.filter(({ id }) => counted(badAt(id), 'reduce') && badAt(id) !== 'sink').map(({ id }) => id)
  expect(outputs.sort((a, b) => a - b)).toEqual(good.sort((a, b) => a - b))

  // Results of the second that fails are made by the job: there is no record to point at.
  const windows = new Map<string, number>()
  for (const { id, i } of all) {
    if (!counted(badAt(id), 'window')) continue
    const window = `u${id % 7}@${Math.floor((i * 20) / 1_000) * 1_000}`
    windows.set(window, (windows.get(window) ?? 0) + 1)
  }
  const results = (records: readonly ReadRecord[]): [string, number][] =>
    records.map(({ key, value }) => {
      const { start, value: n } = JSON.parse(Buffer.from(value!).toString()) as { start: number; value: number }
      return [`${Buffer.from(key!).toString()}@${start}`, n]
    })
  const made = dead.filter((record) => said(record)['value'] === 'json')
  expect(results(made).every(([window]) => window.endsWith('@1000'))).toBe(true)
  expect(made.map((record) => said(record)['operator'])).toEqual(made.map(() => 'results'))
  expect([...results(made), ...results(await world.read('counts'))].sort()).toEqual([...windows].sort())
}

const verify = (world: World, alter: Alter = (_, record) => [record]): Promise<Verification> => {
  const topics = new LogTopics(world.log)
  const altered: Topics = {
    async *read(topic, from) {
      for await (const record of topics.read(topic, from)) yield* alter(topic, record)
    },
    begin: (id) => topics.begin(id),
    close: () => topics.close(),
  }
  const deps = {
    topics: altered,
    hashes: { sha256: (b: Uint8Array | string) => hash('sha256', b, 'hex'), crc32: (b: Uint8Array) => crc32(b) },
    settle: async () => {},
  }
  return verifyJob({ jobId: 'orders', topic: 'orders.receipts', shared: [] }, deps)
}
/** What a reader is given instead of a record. */
type Alter = (topic: string, record: StoredRecord) => StoredRecord[]

async function checkReceipts(world: World): Promise<void> {
  const written = (await Promise.all(['out', 'counts', 'dead'].map((topic) => world.read(topic)))).flat().length
  // Each of the two sinks names what the sources have read, and each record is counted once.
  const inputs = 2 * PER_SPLIT
  expect(await verify(world)).toMatchObject({ outputs: written, inputs, findings: [], more: false })
}

test('every record that fails is one dead letter, as it was read; its neighbours have their outputs', async () => {
  const world = await World.open(TOPICS, input)
  const fleet = new Fleet(world, 1, planJob(ordersWith(false)))
  await fleet.start(null)
  await fleet.both('input-ended')
  expect(await world.read('dead')).toEqual([])
  await fleet.commit(1, await fleet.checkpoint(1))
  await check(world)
  await checkReceipts(world)
})

test.each([3, 40, 77].flatMap((cut) => [false, true].map((unaligned) => ({ cut, unaligned }))))(
  'killed after $cut records per split, behind a published epoch (unaligned: $unaligned): still every dead letter once',
  async ({ cut, unaligned }) => {
    const world = await World.open(TOPICS, input)
    const first = new Fleet(world, 1, planJob(ordersWith(unaligned)))
    first.limit = cut
    await first.start(null)
    const snapshots = await first.checkpoint(1)
    first.limit = cut + 20 // dead letters behind the barrier, never published
    const second = new Fleet(world, 2, planJob(ordersWith(unaligned)))
    const inFlight = snapshots.flatMap((snapshot) => snapshot.inFlight ?? [])
    await second.start(snapshots.map((snapshot) => ({ ...snapshot, inFlight })))
    await second.both('input-ended')
    await second.commit(2, await second.checkpoint(2))
    await check(world)
    await checkReceipts(world)
  },
)

test('asides travel in elements of a bounded size; a larger record travels alone', () => {
  const record = (mebibytes: number): AsideRecord => ({
    topic: 't',
    partition: 0,
    key: null,
    value: Buffer.alloc(mebibytes << 20),
    timestamp: 0,
    headers: [],
  })
  const sizes = [1, 2, 1, 1, 9, 1, 3].map(record)
  const elements = elementsOf(sizes).map((element) => element.map(({ value }) => value!.length >> 20))
  expect(elements).toEqual([[1, 2, 1], [1], [9], [1, 3]])
  expect(elementsOf([])).toEqual([])
  const empty = { ...sizes[0]!, key: null, value: null } // a tombstone without a key
  expect(elementsOf([empty])).toEqual([[empty]])
})

// ---- receipts ---------------------------------------------------------------------------------------------------------

/** Four epochs of the job, the third given up and committed with the fourth (PROTOCOL A2). */
async function audited(): Promise<World> {
  const world = await World.open(TOPICS, input)
  const fleet = new Fleet(world, 1, planJob(ordersWith(false)))
  fleet.limit = 30
  await fleet.start(null)
  await fleet.commit(1, await fleet.checkpoint(1))
  fleet.limit = 60
  await fleet.commit(2, await fleet.checkpoint(2))
  await fleet.checkpoint(3)
  fleet.limit = Number.POSITIVE_INFINITY
  await fleet.both('input-ended')
  await fleet.commit(4, await fleet.checkpoint(4))
  await checkReceipts(world)
  return world
}
const is = (of: StoredRecord) => (record: StoredRecord) =>
  record.partition === of.partition && record.offset === of.offset
const stored = async (world: World, topic: string): Promise<StoredRecord[]> => {
  const all: StoredRecord[] = []
  for await (const record of new LogTopics(world.log).read(topic)) all.push(record)
  return all
}
const changed = (record: StoredRecord): StoredRecord => ({ ...record, value: Buffer.from('changed') })
const alterOne =
  (topic: string, one: StoredRecord, to: (record: StoredRecord) => StoredRecord[]): Alter =>
  (of, record) =>
    of === topic && is(one)(record) ? to(record) : [record]

test('a record that was changed is named by topic, partition and offset, wherever it lies', async () => {
  const world = await audited()
  for (const topic of ['out', 'counts', 'dead']) {
    const records = await stored(world, topic)
    for (const one of records.filter((_, i) => i % 23 === 5)) {
      const { findings } = await verify(
        world,
        alterOne(topic, one, (record) => [changed(record)]),
      )
      const at = { topic, partition: one.partition, offsets: [one.offset] }
      expect(findings).toMatchObject([{ code: 'OUTPUT_TAMPERED', facts: at }])
    }
  }
  for (const one of (await stored(world, 'in')).filter((_, i) => i % 41 === 7)) {
    const { findings } = await verify(
      world,
      alterOne('in', one, (record) => [changed(record)]),
    )
    const facts = { topic: 'in', partition: one.partition, from: one.offset, to: one.offset + 1 }
    expect(findings.map((f) => [f.code, (f.facts as { sink: string }).sink])).toEqual([
      ['INPUT_TAMPERED', expect.any(String)],
      ['INPUT_TAMPERED', expect.any(String)],
    ])
    for (const finding of findings) expect(finding.facts).toMatchObject(facts)
  }
})

test('a receipt that was dropped or changed is named; the newest one by what it leaves without a receipt', async () => {
  const world = await audited()
  const receipts = (await stored(world, 'orders.receipts')).map((record) => {
    return { record, receipt: JSON.parse(Buffer.from(record.value!).toString()) as Receipt }
  })
  expect(receipts).toHaveLength(2 * 2 * 4)
  for (const { record, receipt } of receipts) {
    const { sink, subtask, sequence, outputs } = receipt
    const facts = { sink, subtask, sequence }
    const dropped = (
      await verify(
        world,
        alterOne('orders.receipts', record, () => []),
      )
    ).findings
    const rest = dropped.filter((f) => !['OUTPUT_WITHOUT_RECEIPT', 'INPUT_UNREAD'].includes(f.code))
    expect(rest).toMatchObject(sequence === 4 ? [] : [{ code: 'RECEIPT_MISSING', facts }])
    const without = dropped.filter((f) => f.code === 'OUTPUT_WITHOUT_RECEIPT')
    const named = Object.values(outputs).reduce((n, { records }) => n + records, 0)
    expect(without).toHaveLength(named)
    if (sequence === 4) continue
    const value = Buffer.from(JSON.stringify({ ...receipt, epoch: 9 }))
    const altered = await verify(
      world,
      alterOne('orders.receipts', record, (of) => [{ ...of, value }]),
    )
    expect(altered.findings).toMatchObject([{ code: 'RECEIPT_TAMPERED', facts }])
  }
})

test('a record too many, one too few, input that was skipped: each is named', async () => {
  const world = await audited()
  const [out, input] = [await stored(world, 'out'), await stored(world, 'in')]
  const one = out[17]!
  const gone = await verify(
    world,
    alterOne('out', one, () => []),
  )
  expect(gone.findings).toMatchObject([{ code: 'OUTPUT_MISSING', facts: { topic: 'out', partition: one.partition } }])
  const forged: StoredRecord = { ...one, offset: 10_000, transaction: '99:0' }
  const more = await verify(
    world,
    alterOne('out', one, (record) => [record, forged]),
  )
  expect(more.findings).toMatchObject([{ code: 'OUTPUT_WITHOUT_RECEIPT', facts: { topic: 'out', offset: 10_000 } }])
  const twice = await verify(
    world,
    alterOne('out', one, (record) => [record, { ...record, offset: 10_000 }]),
  )
  expect(twice.findings).toMatchObject([{ code: 'OUTPUT_TAMPERED', facts: { topic: 'out' } }])
  const missing = await verify(
    world,
    alterOne('in', input[33]!, () => []),
  )
  expect(missing.findings.map((f) => f.code)).toEqual(['INPUT_MISSING', 'INPUT_MISSING'])
})
