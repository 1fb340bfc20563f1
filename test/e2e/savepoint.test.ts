/**
 * A job is stopped with a savepoint, and goes on changed: under the same id, and under a new one from a copy of the folder
 * elsewhere in the store, each at another parallelism. An outside reader with read_committed finds every output once.
 */
import type { ObjectStore } from '@weir/checkpoint'
import { KafkaTopics } from '@weir/kafka'
import { openS3 } from '@weir/metadata'
import { systemClock } from '@weir/runtime/system'
import { Etcd3 } from 'etcd3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { debug, type DebugCommand } from '../../apps/cli/src/debug/debug.ts'
import { Fleet } from './fleet.ts'
import { expectation, orderAt, type Order } from './orders.ts'

const ORDERS = 30_000
/** Of the first run: slow enough to be stopped on the way. */
const RATE = 5_000
const job = new URL('./savepoint.job.ts', import.meta.url).pathname
const canaryJob = new URL('./canary.job.ts', import.meta.url).pathname
const fleet = new Fleet()
beforeAll(() => fleet.start({ managers: 1, workers: 2 }))
afterAll(() => fleet.stop())

interface Savepoint {
  readonly name: string
  readonly state: string
  readonly epoch: number
  readonly folder: string
}
/** A record that no savepoint has read, through the job: its output is told, and is in no topic, object or head. */
async function debuggedLeavesNothing(jobId: string, objects: ObjectStore, topics: readonly string[]): Promise<void> {
  const kafka = new KafkaTopics({ kafka: fleet.kafka, clock: systemClock, signal: new AbortController().signal })
  const etcd = new Etcd3({ hosts: `http://${fleet.etcd}` })
  const world = async (): Promise<readonly string[]> => {
    const stored = await Promise.all((await objects.list('')).map(async (key) => [key, (await objects.get(key))?.etag]))
    const heads = Object.entries(await etcd.getAll().prefix(`/weir/${fleet.cluster}/heads/`).strings())
    const ends = await Promise.all(topics.map(async (topic) => [topic, await kafka.ends(topic, false)]))
    const open = await fleet.openTransactions(jobId)
    return [...stored, ...heads, ...ends, ...open].map((one) => JSON.stringify(one))
  }
  const before = new Set(await world())
  const told: unknown[] = []
  const command: DebugCommand = {
    ...{ jobId, checkpoint: undefined, partition: 0, offset: ORDERS / 4 - 1, source: undefined, topic: undefined },
    ...{ file: job, params: { orders: topics[0]!, sums: topics[1]!, statuses: topics[2]!, rate: String(RATE) } },
    ...{ fromCheckpoint: false, allowCalls: false, inspect: 'no', inspectPort: 0 },
    ...{ kafka: fleet.servers.kafka, env: fleet.env },
  }
  const unasked = (): never => expect.unreachable()
  await debug(command, { client: unasked, note: () => {}, print: (value) => told.push(value) })
  const { user } = orderAt(ORDERS - 4)
  expect(told).toMatchObject([{ outputs: [{ sink: 'sums', key: user }], failure: null }])
  expect((await world()).filter((one) => !before.has(one))).toEqual([])
  etcd.close()
}
const sumsIn = (topic: string): string[] =>
  fleet.read(topic).map(([user, value]) => `${user} #${(value as { count: number }).count}`)

test('stopped with a savepoint, a changed job goes on from it: same id, new id, nothing lost or doubled', async () => {
  const [jobId, other] = [`sp-${fleet.run}`, `sp-other-${fleet.run}`]
  const topics = await fleet.topics(['orders', 'sums', 'statuses', 'sums-2', 'statuses-2'])
  const produce = (from: number, to: number): void =>
    fleet.produce(
      topics['orders']!,
      Array.from({ length: to - from }, (_, i) => JSON.stringify(orderAt(from + i))),
    )
  produce(0, ORDERS / 2)
  const set = (values: Record<string, unknown>): string[] =>
    Object.entries({ orders: topics['orders'], ...values }).flatMap(([k, v]) => ['--set', `${k}=${String(v)}`])
  const to = (sums: string, statuses: string) => ({ sums: topics[sums], statuses: topics[statuses] })
  const rest = async (path: string, init?: RequestInit): Promise<Response> =>
    fetch(`http://${(await fleet.leader()).ready.http}/api/v1/jobs/${jobId}/${path}`, init)
  const savepoints = async (): Promise<Savepoint[]> => (await (await rest('savepoints')).json()) as Savepoint[]
  const readAll = (id: string) =>
    fleet.until(id, 'everything is read and final', (j) => j.recordsIn === ORDERS && j.finalEpoch === j.publishedEpoch)

  expect(
    (await fleet.cli('submit', job, '--id', jobId, ...set({ ...to('sums', 'statuses'), rate: RATE }))).stderr,
  ).toBe('')
  await fleet.until(jobId, 'a first epoch', (j) => j.finalEpoch >= 1)

  // On demand, while it runs.
  const asked = await rest('savepoints', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'early' }),
  })
  expect([asked.status, await asked.json()]).toMatchObject([202, { name: 'early', state: 'IN_PROGRESS' }])
  await expect.poll(savepoints).toMatchObject([{ name: 'early', state: 'COMPLETE' }])

  const stopped = await fleet.cli('stop', jobId, 'cut', '--json')
  expect(stopped.stderr).toBe('')
  const { state, recordsIn } = await fleet.job(jobId)
  expect(state).toBe('STOPPED')
  expect(recordsIn).toBeLessThan(ORDERS)
  expect(await fleet.openTransactions(jobId)).toEqual([])
  produce(ORDERS / 2, ORDERS)
  const before = sumsIn(topics['sums']!)
  const [early, cut] = await savepoints()
  expect(cut).toMatchObject({ name: 'cut', state: 'COMPLETE', stopped: true })

  const own = openS3(fleet.env)
  await debuggedLeavesNothing(jobId, own, Object.values(topics))

  // Its folder lies elsewhere too, and is the only one that is left of it.
  const elsewhere = openS3({ ...fleet.env, WEIR_S3_PREFIX: `e2e-${fleet.run}-copy/` })
  for (const key of await own.list(cut!.folder))
    await elsewhere.put(key.slice(cut!.folder.length), (await own.get(key))!.bytes)

  // The same id, with an operator more and a subtask less.
  const narrow = { ...to('sums', 'statuses'), changed: true, parallelism: 1 }
  const changed = await fleet.cli('submit', job, '--id', jobId, '--from', 'cut', ...set(narrow))
  expect(changed.stderr).toBe(
    'note: parallelism is 1, the state is of 2: keys and splits are dealt out anew\n' +
      'note: reduce "per-status" is new: it begins with empty state\n',
  )
  await readAll(jobId)
  expect((await fleet.cli('stop', jobId, 'end')).stderr).toBe('')
  const names = [...expectation(ORDERS).sums].flatMap(([user, { count }]) =>
    Array.from({ length: count }, (_, i) => `${user} #${i + 1}`),
  )
  expect(sumsIn(topics['sums']!).toSorted()).toEqual(names.toSorted())
  expect(fleet.read(topics['statuses']!)).toHaveLength(ORDERS - recordsIn)

  // A new id, other topics, from the copy.
  expect((await fleet.cli('savepoints', 'delete', jobId, 'cut')).status).toBe(0)
  expect(await own.list(cut!.folder)).toEqual([])
  const url = `s3://${fleet.servers.s3.bucket}/e2e-${fleet.run}-copy/`
  const wide = { ...to('sums-2', 'statuses-2'), changed: true, parallelism: 3 }
  const forked = await fleet.cli('submit', job, '--id', other, '--from', url, ...set(wide))
  expect(forked.stderr).toContain('per-status')
  await readAll(other)
  expect((await fleet.cli('stop', other, 'end')).stderr).toBe('')
  expect([...before, ...sumsIn(topics['sums-2']!)].toSorted()).toEqual(names.toSorted())

  // Going back would write again what is there; state without an operator is not thrown away unasked.
  const back = await fleet.cli('start', jobId, '--from', 'early')
  expect(back.status).toBe(2)
  expect(back.stderr).toContain(`output of epochs ${early!.epoch + 1} to `)
  expect(back.stderr).toContain('--accept-repeated-output')
  const dropping = ['submit', job, '--id', jobId, '--from', 'end', ...set(to('sums', 'statuses'))]
  expect((await fleet.cli(...dropping)).stderr).toContain('--allow-dropped-state per-status')
  const dropped = await fleet.cli(...dropping, '--allow-dropped-state', 'per-status')
  expect(dropped.stderr).toBe(
    'note: parallelism is 2, the state is of 1: keys and splits are dealt out anew\n' +
      'note: state of "per-status" is dropped\n',
  )
  await fleet.cli('cancel', jobId)
  await own.close()
  await elsewhere.close()
})

test('a new version runs beside the job and takes its place once it has done the same: a wrong one does not', async () => {
  const jobId = `canary-${fleet.run}`
  const topics = await fleet.topics(['pay-orders', 'pay-sums'])
  const [orders, sums] = [topics['pay-orders']!, topics['pay-sums']!]
  let produced = 0
  /** Those of a user in one partition: what comes out for a user is then the same every time. */
  const produce = (count: number): void => {
    const lines = Array.from({ length: count }, (_, i) => JSON.stringify(orderAt(produced + i)))
    fleet.produce(orders, lines, 4, (line) => Number((JSON.parse(line) as Order).user.slice(5)) % 4)
    produced += count
  }
  const read = () =>
    fleet.until(
      jobId,
      'everything is read and final',
      (j) => j.recordsIn === produced && j.finalEpoch === j.publishedEpoch,
    )
  const set = (version: number, wrong = false): string[] =>
    Object.entries({ orders, sums, version, wrong }).flatMap(([k, v]) => ['--set', `${k}=${String(v)}`])
  const canary = async (verb: string, ...args: string[]) => {
    const answer = await fleet.cli('canary', verb, jobId, ...args, '--kafka', fleet.servers.kafka, '--json')
    return { ...answer, json: (answer.stdout === '' ? null : JSON.parse(answer.stdout)) as Record<string, unknown> }
  }
  const start = (version: number, wrong: boolean, share: string) => {
    const how = ['--share', share, '--ignore', 'version', '--outputs', '1000']
    return canary('start', canaryJob, ...set(version, wrong), ...how)
  }

  expect((await fleet.cli('submit', canaryJob, '--id', jobId, ...set(1))).stderr).toBe('')
  produce(4_000)
  await read()

  expect((await start(2, true, '100%')).status).toBe(0)
  produce(4_000)
  await read()
  const refused = await canary('promote', canaryJob, ...set(2, true))
  expect([refused.status, refused.json]).toMatchObject([1, { verdict: 'differs', missing: 0, extra: 0, forced: 0 }])
  const [sample] = refused.json['samples'] as { kind: string; live: string; shadow: string }[]
  const sumOf = (text: string): number => (JSON.parse(text) as { sum: number }).sum
  expect([sample!.kind, sumOf(sample!.shadow) > sumOf(sample!.live)]).toEqual(['different', true])
  expect((await canary('abort')).status).toBe(0)
  expect(await fleet.job(jobId)).toMatchObject({ state: 'RUNNING', restarts: 0, regionRestarts: 0 })

  // Half of the keys, then all of them; a task-manager dies meanwhile.
  const half = await start(2, false, '50%')
  expect([half.status, half.stderr]).toEqual([0, expect.stringContaining('writes to kafka topic')])
  produce(4_000)
  await fleet.kill(fleet.workers[0]!)
  produce(4_000)
  await read()
  const all = await canary('step', canaryJob, ...set(2))
  expect(all.stderr).toContain('0 different, 0 missing, 0 extra')
  expect(all.status).toBe(0)
  produce(4_000)
  const another = await canary('promote', canaryJob, ...set(3))
  expect([another.status, another.stderr]).toEqual([2, expect.stringContaining('CANARY_BUILD_CHANGED')])
  await read()
  const promoted = await canary('promote', canaryJob, ...set(2))
  expect([promoted.status, promoted.json]).toMatchObject([0, { verdict: 'passes', errors: 0, share: 1 }])
  produce(4_000)
  await read()
  expect((await fleet.cli('stop', jobId, 'end')).stderr).toBe('')

  // Every output once, in order, with the right sum; from the promotion on they are the new version's.
  const found = new Map<string, { sum: number; count: number; version: number }[]>()
  for (const [user, value] of fleet.read(sums)) found.set(user, [...(found.get(user) ?? []), value as never])
  for (const [user, { sum, count }] of expectation(produced).sums) {
    const own = found.get(user)!
    expect(own.map((one) => one.count)).toEqual(Array.from({ length: count }, (_, i) => i + 1))
    expect(own.at(-1)!.sum).toBe(sum)
    expect(own.map((one) => one.version)).toEqual(own.map((one) => one.version).toSorted())
  }
  expect([...found.values()].some((own) => own.at(-1)!.version === 2)).toBe(true)
  expect((await fleet.topicsThere()).filter((topic) => topic.endsWith('.canary'))).toEqual([])
})
