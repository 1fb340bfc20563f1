/**
 * Dead letters on a real fleet: records that fail in decode, in an operator on either side of a shuffle and at the sink,
 * with kill -9 of both kinds of process in between. Then they are listed and replayed, from several sides at once.
 */
import type { Verification } from '@weir/dataflow'
import { KafkaTopics } from '@weir/kafka'
import { systemClock } from '@weir/runtime/system'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fleet } from './fleet.ts'

const ORDERS = 14_000
const RATE = 2_000
const PLACES: Readonly<Record<number, readonly [operator: string, code: string, replay: string]>> = {
  3: ['orders', 'DECODE_FAILED', 'whole'],
  7: ['checked', 'OPERATOR_FAILED', 'whole'],
  11: ['count', 'OPERATOR_FAILED', 'whole'],
  13: ['out', 'ENCODE_FAILED', 'partial'],
}
const ids = Array.from({ length: ORDERS }, (_, id) => id)
const lineOf = (id: number): string =>
  id % 500 === 3 ? `{"id":${id}, oops` : JSON.stringify({ id, user: `user-${id % 97}` })
const bad = ids.filter((id) => PLACES[id % 500] !== undefined)
const good = ids.filter((id) => PLACES[id % 500] === undefined)

const fleet = new Fleet()
const job = new URL('dead-letters.job.ts', import.meta.url).pathname
let dir = ''
let topics: Record<string, string> = {}
let jobId = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'weir-dead-'))
  await fleet.start({ managers: 2, workers: 2 })
  topics = await fleet.topics(['orders', 'out', 'dead', 'receipts'])
  fleet.produce(topics['orders']!, ids.map(lineOf))
  jobId = `dead-${fleet.run}`
})
afterAll(async () => {
  await fleet.stop()
  await rm(dir, { recursive: true, force: true })
})

interface Letter {
  readonly origin: string
  readonly first: string | null
  readonly operator: string
  readonly error: string
  readonly attempt: number
  readonly replay: string
  readonly replayed: string | null
  readonly value: string
}
/** An outsider's look at the topic, beside what the fleet says of it. */
async function letters(): Promise<{ id: string; value: string }[]> {
  const found: { id: string; value: string }[] = []
  const { signal } = new AbortController()
  for await (const { headers, value } of new KafkaTopics({ kafka: fleet.kafka, clock: systemClock, signal }).read(
    topics['dead']!,
  )) {
    const said = new Map(headers.map(([name, of]) => [name, Buffer.from(of!).toString()]))
    if (!said.has('weir.dead.job')) continue
    const of = ['operator', 'error', 'attempt', 'replay'].map((name) => said.get(`weir.dead.${name}`))
    const at = ['topic', 'partition', 'offset'].map((name) => said.get(`weir.dead.${name}`)).join('/')
    found.push({ id: [at, ...of].join(' '), value: Buffer.from(value!).toString() })
  }
  return found
}
const written = (): number[] =>
  fleet
    .read(topics['out']!)
    .map(([, value]) => (value as { last: { id: number } }).last.id)
    .sort((a, b) => a - b)
/** Partition and offset of the n-th order: they were spread evenly. */
const originOf = (id: number): string => `${topics['orders']}/${id % 4}/${Math.floor(id / 4)}`

test('each bad record is one dead letter and each good one one output, whoever is killed', async () => {
  const set = { ...topics, rate: RATE, mended: join(dir, 'mended') }
  const submitted = await fleet.cli(
    ...['submit', job, '--id', jobId, ...Object.entries(set).flatMap(([k, v]) => ['--set', `${k}=${v}`])],
  )
  expect(submitted.stderr).toBe('')
  await fleet.until(jobId, 'the third epoch', (j) => j.finalEpoch >= 3)
  await fleet.kill(fleet.workers[0]!)
  await fleet.addWorker()
  const again = await fleet.until(jobId, 'running again', (j) => j.state === 'RUNNING' && j.restarts >= 1)
  await fleet.until(jobId, 'a further epoch', (j) => j.finalEpoch > again.finalEpoch)
  const leader = await fleet.leader()
  await Promise.all([fleet.kill(leader), fleet.kill(fleet.workers[0]!)])
  await fleet.addManager({ grpc: leader.ready.grpc!, http: leader.ready.http })
  await fleet.addWorker()
  await expect.poll(() => written().length, { interval: 250 }).toBeGreaterThanOrEqual(good.length)
  expect(written()).toEqual(good)
  const expected = bad.map((id) => {
    const [operator, error, replay] = PLACES[id % 500]!
    return { id: `${originOf(id)} ${operator} ${error} 1 ${replay}`, value: lineOf(id) }
  })
  const order = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1)
  await expect.poll(async () => (await letters()).length).toBeGreaterThanOrEqual(bad.length)
  expect((await letters()).sort(order)).toEqual(expected.sort(order))
})

test('they are listed in pages, by REST and by the CLI', async () => {
  const http = `http://${(await fleet.leader()).ready.http}/api/v1/jobs/${jobId}/dead-letters`
  const all: Letter[] = []
  let next: string | null = ''
  while (next !== null) {
    const page = (await (await fetch(`${http}?limit=50${next && `&from=${next}`}`)).json()) as {
      letters: Letter[]
      next: string | null
    }
    all.push(...page.letters)
    next = page.next
  }
  expect(all.map((l) => l.origin).sort()).toEqual(bad.map(originOf).sort())
  expect(all.find((l) => l.origin === originOf(507))).toMatchObject({
    ...{ operator: 'checked', error: 'OPERATOR_FAILED', attempt: 1, replay: 'whole', replayed: null, first: null },
    value: lineOf(507),
  })
  const listed = await fleet.cli('dlq', 'list', jobId, '--limit', '5', '--json')
  expect(JSON.parse(listed.stdout)).toHaveLength(5)
  for (const [path, body, code] of [
    ['?from=x', null, 'PAGE_INVALID'],
    ['?limit=0', null, 'PAGE_INVALID'],
    ['/replay', '{}', 'REPLAY_INVALID'],
    ['/replay', '{"origins":[1]}', 'REPLAY_INVALID'],
  ] as const) {
    const init = body === null ? {} : { method: 'POST', body, headers: { 'content-type': 'application/json' } }
    const answer = await fetch(http + path, init)
    expect({ path, status: answer.status, ...((await answer.json()) as object) }).toMatchObject({
      path,
      status: 400,
      code,
    })
  }
})

test('replayed from several sides at once, each has its effect once; what fails again is a dead letter again', async () => {
  await writeFile(join(dir, 'mended'), '')
  const http = `http://${(await fleet.leader()).ready.http}/api/v1/jobs/${jobId}/dead-letters/replay`
  const headers = { 'content-type': 'application/json' }
  const replay = (body: object): Promise<Response> =>
    fetch(http, { method: 'POST', headers, body: JSON.stringify(body) })
  const one = { origins: [originOf(7), originOf(13), 'nobody/0/0'] }
  expect(await (await replay(one)).json()).toMatchObject({
    replayed: 1,
    before: 0,
    more: false,
    refused: [
      { origin: originOf(13), why: expect.stringContaining('"out"') as string },
      { origin: 'nobody/0/0', why: expect.stringContaining('no dead letter') as string },
    ],
  })
  // Whoever is overtaken is told so and may ask again: an origin is replayed once.
  await Promise.all([
    replay({ all: true }),
    replay(one),
    fleet.cli('dlq', 'replay', jobId, '--all'),
    replay({ all: true }),
  ])
  const whole = bad.filter((id) => PLACES[id % 500]![2] === 'whole')
  for (let i = 0; i < 2; i++) expect((await fleet.cli('dlq', 'replay', jobId, '--all')).status).toBe(0)
  // What failed again meanwhile has another origin.
  const origins = whole.map(originOf)
  expect(await (await replay({ origins })).json()).toMatchObject({ replayed: 0, before: origins.length, refused: [] })

  const mended = whole.filter((id) => id % 500 !== 3)
  await expect.poll(() => written().length, { interval: 250 }).toBe(good.length + mended.length)
  expect(written()).toEqual([...good, ...mended].sort((a, b) => a - b))
  const undecodable = whole.filter((id) => id % 500 === 3)
  const again = async (): Promise<Letter[]> => {
    const { stdout } = await fleet.cli('dlq', 'list', jobId, '--limit', '1000', '--json')
    return (JSON.parse(stdout) as Letter[]).filter((l) => l.attempt === 2)
  }
  await expect.poll(async () => (await again()).length).toBe(undecodable.length)
  // They are in the queue again, under the place they were read at now: replayed or not, one per try.
  expect((await again()).map((l) => l.first).sort()).toEqual(undecodable.map(originOf).sort())
})

test('every transaction has left a receipt, and everything fits: kills, replays and dead letters included', async () => {
  expect((await fleet.cli('cancel', jobId)).status).toBe(0)
  await fleet.until(jobId, 'CANCELLED', (j) => j.state === 'CANCELLED')
  expect(await fleet.openTransactions(jobId)).toEqual([])
  const verify = [
    'verify',
    jobId,
    '--kafka',
    fleet.env['WEIR_KAFKA_BROKERS']!,
    '--receipts',
    topics['receipts']!,
    '--json',
  ]
  const answer = await fleet.cli(...verify)
  const { receipts, outputs, inputs, findings } = JSON.parse(answer.stdout) as Verification
  expect({ status: answer.status, findings }).toEqual({ status: 0, findings: [] })
  const dead = (await letters()).length
  expect(outputs).toBe(written().length + dead)
  // Every order and every replayed record, and nothing twice.
  expect(inputs).toBeGreaterThanOrEqual(ORDERS + 72)
  expect(receipts).toBeGreaterThan(10)
})
