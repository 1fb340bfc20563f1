/**
 * Two jobs on one fleet, whose task-manager is killed under both: files from a folder into files of two formats and to an HTTP endpoint
 * that honours idempotency keys; and a union with a broadcast and a connect. What came out is recounted without the engine. The endpoint wants
 * a secret, which is looked for wherever it must not be.
 */
import { openElsewhere, openS3 } from '@weir/metadata'
import { systemRandom } from '@weir/runtime/system'
import { Etcd3 } from 'etcd3'
import { parquetReadObjects } from 'hyparquet'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { KINDS, type Paid, type Rule } from './fees.job.ts'
import { Fleet } from './fleet.ts'
import { orderAt, type Order } from './orders.ts'

const ORDERS = 9_000
/** Of files over all subtasks, and of each topic. */
const FILES_RATE = 200
const TOPIC_RATE = 150
const FILES = 5
const fleet = new Fleet()
const s3 = fleet.servers.s3
const root = `s3://${s3.bucket}/connectors-${systemRandom.nonce().slice(0, 8)}/`
const open = (folder: string) =>
  openElsewhere(`${root}${folder}/`, {
    ...{ WEIR_S3_ENDPOINT: s3.url, WEIR_S3_ACCESS_KEY: s3.accessKey, WEIR_S3_SECRET_KEY: s3.secretKey },
  })
const orders = Array.from({ length: ORDERS }, (_, id) => orderAt(id))
const paid = orders.filter(({ status }) => status === 'PAID')
const linesOf = (of: readonly unknown[]): string[] => of.map((one) => JSON.stringify(one))

/** Given to the task-managers as a file. */
const secret = `Bearer ${systemRandom.nonce()}`
let secretDir = ''
let said = ''

/** Idempotency-Key → body of its first request. */
const effects = new Map<string, string>()
const torn: string[] = []
const endpoint = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    if (request.headers.authorization !== secret) return void response.writeHead(401).end()
    // Servers repeat what they were sent.
    if (request.url === '/refuses') return void response.writeHead(403).end(`${secret} may not`)
    const key = String(request.headers['idempotency-key'])
    const body = Buffer.concat(chunks).toString()
    if ((effects.get(key) ?? body) !== body) torn.push(key)
    effects.set(key, body)
    response.writeHead(201).end()
  })
})

const rules = Array.from({ length: 2 * KINDS }, (_, i): Rule => {
  return { kind: i % KINDS, percent: (i * 7) % 31, ts: orders[0]!.ts - 100 + i }
})
/** Nine of ten orders are paid for, some before they are made. */
const payments = orders
  .filter(({ id }) => id % 10 !== 7)
  .map(({ id, ts }): Paid => ({ id, ts: ts + ((id * 131) % 600) - 300 }))
  .sort((a, b) => a.ts - b.ts)

const files = `files-${fleet.run}`
const fees = `fees-${fleet.run}`
let settled = ''

const submit = async (jobId: string, file: string, values: Record<string, unknown>): Promise<void> => {
  const set = Object.entries(values).flatMap(([k, v]) => ['--set', `${k}=${String(v)}`])
  const path = new URL(file, import.meta.url).pathname
  expect((await fleet.cli('submit', path, '--id', jobId, ...set)).stderr).toBe('')
}
/** Parameters of files-http.job.ts. */
const filesJob = (path: string, suffix: string): Record<string, string> => ({
  ...{ folder: `${root}orders/`, lines: `${root}lines${suffix}/`, table: `${root}table${suffix}/` },
  url: `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}/${path}`,
  authorization: `file:${join(secretDir, 'authorization')}`,
})

beforeAll(async () => {
  secretDir = await mkdtemp(join(tmpdir(), 'weir-secret-'))
  await writeFile(join(secretDir, 'authorization'), `${secret}\n`)
  await fleet.start({ managers: 1, workers: 2 })
  for (const { child } of [...fleet.managers, ...fleet.workers])
    child.stderr!.on('data', (text: Buffer) => (said += text.toString()))
  await new Promise<void>((resolve) => endpoint.listen(0, '127.0.0.1', resolve))
  const source = open('orders')
  for (let file = 0; file < FILES; file++) {
    const lines = linesOf(orders.filter(({ id }) => id % FILES === file))
    await source.put(`part-${file}.ndjson`, Buffer.from(`${lines.join('\n')}\n`))
  }
  const topics = await fleet.topics(['web', 'shop', 'rules', 'paid', 'settled'], 2)
  settled = topics['settled']!
  fleet.produce(topics['web']!, linesOf(orders.filter(({ id }) => id % 2 === 0)), 2)
  fleet.produce(topics['shop']!, linesOf(orders.filter(({ id }) => id % 2 === 1)), 2)
  // Of one kind they come in one partition: the last one counts.
  fleet.produce(topics['rules']!, linesOf(rules), 2, (line) => (JSON.parse(line) as Rule).kind % 2)
  fleet.produce(topics['paid']!, linesOf(payments), 2)
  await Promise.all([
    submit(files, './files-http.job.ts', { ...filesJob('orders', ''), rate: FILES_RATE }),
    submit(fees, './fees.job.ts', { ...topics, rate: TOPIC_RATE }),
  ])
  const jobs = await Promise.all(
    [files, fees].map((jobId) => fleet.until(jobId, 'an epoch', (j) => j.finalEpoch >= 2 && j.recordsIn > 0)),
  )
  // Of both jobs there is a slice in it.
  const victim = fleet.workers[0]!
  const { id } = (await fleet.health<{ joined: { id: string } }>(victim))!.joined
  for (const { slices } of jobs) expect(slices.map(({ taskManagerId }) => taskManagerId)).toContain(id)
  await fleet.kill(victim)
  await fleet.addWorker()
  await Promise.all([files, fees].map((jobId) => fleet.unlimited(jobId)))
})
afterAll(async () => {
  await fleet.stop()
  endpoint.closeAllConnections()
  await new Promise((resolve) => endpoint.close(resolve))
  await rm(secretDir, { recursive: true, force: true })
})

test('files from a folder into NDJSON, Parquet and requests: every order is in each of them once, under kill -9', async () => {
  const end = await fleet.until(files, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(end.restarts + end.regionRestarts).toBeGreaterThanOrEqual(1)
  const contentOf = async (folder: string, suffix: string): Promise<Uint8Array[]> => {
    const objects = open(folder)
    const keys = (await objects.list('')).filter((key) => !key.startsWith('_') && key.endsWith(suffix))
    return Promise.all(keys.map(async (key) => (await objects.get(key))!.bytes))
  }
  const lines = (await contentOf('lines', '.ndjson')).flatMap((bytes) =>
    Buffer.from(bytes).toString().trimEnd().split('\n'),
  )
  expect(lines.toSorted()).toEqual(linesOf(paid).toSorted())
  const rows = await Promise.all(
    (await contentOf('table', '.parquet')).map((bytes) => parquetReadObjects({ file: new Uint8Array(bytes).buffer })),
  )
  const row = ({ id, user, amountMinor }: Order): unknown => ({ id, customer: user, amountMinor: BigInt(amountMinor) })
  const byId = (of: readonly unknown[]): unknown[] => of.toSorted((a, b) => (a as Order).id - (b as Order).id)
  expect(byId(rows.flat())).toEqual(byId(paid.map(row)))
  const told = paid.filter(({ id }) => id % 20 === 0)
  expect([...effects.values()].toSorted()).toEqual(linesOf(told).toSorted())
  expect(torn).toEqual([])
})

test('a union with a broadcast and a connect: every order that is paid for has its fee once, under kill -9', async () => {
  const end = await fleet.until(fees, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(end.restarts).toBeGreaterThanOrEqual(1)
  const percents = new Map(rules.map(({ kind, percent }) => [kind, percent]))
  const feeOf = ({ id }: Paid): string =>
    `${id} ${Math.floor((orders[id]!.amountMinor * percents.get(id % KINDS)!) / 100)}`
  const seen = fleet.read(settled).map(([, value]) => {
    const { id, feeMinor } = value as { id: number; feeMinor: number }
    return `${id} ${feeMinor}`
  })
  expect(seen.toSorted()).toEqual(payments.map(feeOf).toSorted())
  expect(await fleet.openTransactions(fees)).toEqual([])
})

test('a secret is sent to the endpoint and is nowhere else: not in etcd, the object store, answers or logs', async () => {
  const refused = `refused-${fleet.run}`
  await submit(refused, './files-http.job.ts', { ...filesJob('refuses', '-refused'), rate: FILES_RATE })
  const { error } = await fleet.until(refused, 'FAILED', (j) => j.state === 'FAILED')
  expect(JSON.stringify(error)).toMatch(/REQUEST_REFUSED.*\[secret\] may not/)
  // By the pipe of another process, which may be behind the answer.
  await expect.poll(() => said, { timeout: 30_000 }).toContain('REQUEST_REFUSED')

  const etcd = new Etcd3({ hosts: `http://${fleet.etcd}` })
  const keys = await etcd.getAll().prefix(`/weir/${fleet.cluster}/`).strings()
  etcd.close()
  const objects = openS3(fleet.env)
  // Null: it was retired since it was listed.
  const found = await Promise.all((await objects.list('')).map((key) => objects.get(key)))
  const stored = found.flatMap((object) => object?.bytes ?? [])
  const { http } = (await fleet.leader()).ready
  const paths = [files, refused].flatMap((id) => ['', '/checkpoints', '/transactions'].map((of) => `jobs/${id}${of}`))
  const answers = await Promise.all(
    ['jobs', 'task-managers', 'transactions', ...paths].map(async (path) =>
      (await fetch(`http://${http}/api/v1/${path}`)).text(),
    ),
  )
  // What is looked through has the jobs in it.
  expect(Object.keys(keys).filter((key) => key.includes(refused))).not.toEqual([])
  expect(stored.length).toBeGreaterThan(10)
  expect(answers.join('')).toContain('REQUEST_REFUSED')
  const token = secret.slice('Bearer '.length)
  for (const text of [
    JSON.stringify(keys),
    ...stored.map((bytes) => Buffer.from(bytes).toString('latin1')),
    ...answers,
    said,
  ])
    expect(text.includes(token)).toBe(false)
})
