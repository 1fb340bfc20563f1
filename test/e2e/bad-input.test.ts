/** What goes wrong says so, by code, to whoever asked; other jobs go on. */
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { JobsClient } from '@weir/wire'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bundleJob } from '../../apps/cli/src/bundle.ts'
import { Fleet, mainJob } from './fleet.ts'
import { orderAt } from './orders.ts'

const fleet = new Fleet()
const healthy = `healthy-${fleet.run}`
let topics: Record<string, string> = {}
let dir = ''
const set = (values: Record<string, unknown>): string[] =>
  Object.entries(values).flatMap(([name, value]) => ['--set', `${name}=${String(value)}`])

beforeAll(async () => {
  // Job files find the SDK as a user's would: from a folder inside the workspace.
  dir = await mkdtemp(new URL('../../.weir/e2e-', import.meta.url).pathname)
  await fleet.start({ managers: 1, workers: 2 })
  topics = await fleet.topics(['orders', 'sums', 'counts', 'broken'])
  fleet.produce(
    topics['orders']!,
    Array.from({ length: 2_000 }, (_, id) => JSON.stringify(orderAt(id))),
  )
  const { orders, sums, counts } = topics
  const submitted = await fleet.cli(
    ...['submit', mainJob, '--id', healthy],
    ...set({ orders, sums, counts, intervalMs: 1_000, rate: 100, parallelism: 2 }),
  )
  expect(submitted.stderr).toBe('')
})
afterAll(async () => {
  await fleet.stop()
  await rm(dir, { recursive: true, force: true })
})

const jobFile = async (text: string): Promise<string> => {
  const file = join(dir, `job-${Math.random().toString(36).slice(2)}.ts`)
  await writeFile(file, text)
  return file
}

test('an unparsable record fails the job with its topic, partition and offset', async () => {
  const id = `unparsable-${fleet.run}`
  fleet.produce(topics['broken']!, [JSON.stringify(orderAt(0)), '{"id": oops}'])
  const { sums, counts } = topics
  await fleet.cli(
    ...['submit', mainJob, '--id', id, '--no-wait'],
    ...set({ orders: topics['broken'], sums, counts, intervalMs: 1_000, parallelism: 1 }),
  )
  const job = await fleet.until(id, 'FAILED', (j) => j.state === 'FAILED')
  expect(job.error).toMatchObject({ code: 'DECODE_FAILED' })
  expect(job.error!.message).toContain('not JSON')
  expect((job.error as unknown as { facts: object }).facts).toMatchObject({ split: 1, offset: 0 })
  expect(await fleet.openTransactions(id)).toEqual([])
})

test('an unknown topic fails the submit, naming it', async () => {
  const { sums, counts } = topics
  const answer = await fleet.cli(
    ...['submit', mainJob, '--id', `unknown-${fleet.run}`],
    ...set({ orders: 'no-such-topic', sums, counts, parallelism: 1 }),
  )
  expect(answer).toMatchObject({ status: 1 })
  expect(answer.stderr).toMatch(/UNKNOWN_TOPIC: .*no-such-topic/)
})

test('a job file that throws, that has no job, that does not compile', async () => {
  const submit = (file: string) => fleet.cli('submit', file)
  expect((await submit(await jobFile(`throw new Error('no database here')`))).stderr).toMatch(
    /BUNDLE_THROWS: .*no database here/,
  )
  expect((await submit(await jobFile('export default 7'))).stderr).toMatch(/BUNDLE_NO_JOB/)
  expect((await submit(await jobFile('export default {'))).stderr).toMatch(/BUNDLE_FAILED: .*job-\w+\.ts:1:\d+/)
  expect(await submit('no-such-file.ts')).toMatchObject({ status: 2 })
})

test('a bundle that throws only in the fleet fails the job with the place', async () => {
  const file = await jobFile(`
    import { job, json, kafka } from '@weir/sdk'
    import { isMainThread } from 'node:worker_threads'
    if (!isMainThread) throw new Error('not in a worker')
    export default job('thrower', (flow) => flow.from(kafka.topic('a', { value: json() })).to(kafka.sink('b')))
  `)
  const answer = await fleet.cli('submit', file, '--id', `thrower-${fleet.run}`)
  expect(answer.status).toBe(1)
  expect(answer.stderr).toMatch(/BUNDLE_THROWS: .*not in a worker/)
})

test('a job that plans differently on another machine is refused', async () => {
  const file = await jobFile(`
    import { job, json, kafka } from '@weir/sdk'
    const topic = 'topic-' + process.pid
    export default job('pid', (flow) => flow.from(kafka.topic(topic, { value: json() })).to(kafka.sink('b')))
  `)
  const answer = await fleet.cli('submit', file, '--id', `pid-${fleet.run}`)
  expect(answer.status).toBe(1)
  expect(answer.stderr).toMatch(/GRAPH_HASH_MISMATCH/)
})

test('the job-manager refuses what a foreign client sends', async () => {
  const client = new JobsClient([fleet.jobManagers], { token: null })
  const { plan, bytes, graphHash, digest } = await bundleJob(mainJob, {})
  const wish = {
    jobId: '',
    name: 'x',
    bundleDigest: digest,
    graphHash,
    plan: Buffer.from(JSON.stringify(plan.summary)),
  }
  await expect(client.uploadBundle('00', bytes)).rejects.toMatchObject({ code: 'BUNDLE_DIGEST_MISMATCH' })
  await expect(client.submit({ ...wish, bundleDigest: 'ff' })).rejects.toMatchObject({ code: 'BUNDLE_UNKNOWN' })
  await client.uploadBundle(digest, bytes)
  await expect(client.submit({ ...wish, jobId: 'Not An Id' })).rejects.toMatchObject({ code: 'JOB_ID_INVALID' })
  await expect(client.submit({ ...wish, plan: Buffer.from('{') })).rejects.toMatchObject({ code: 'PLAN_INVALID' })
  await expect(client.submit({ ...wish, jobId: healthy })).rejects.toMatchObject({ code: 'JOB_EXISTS' })
  await expect(client.get('nobody')).rejects.toMatchObject({ code: 'JOB_UNKNOWN' })
  client.close()
})

test('a port in use, a setting that is missing, a server that is away: the process says which and ends', async () => {
  const start = (app: string, env: Record<string, string>) => {
    const main = new URL(`../../apps/${app}/dist/main.js`, import.meta.url).pathname
    return spawnSync(process.execPath, [main], { env: { ...process.env, ...fleet.env, ...env }, encoding: 'utf8' })
  }
  const taken = net.createServer()
  const port = await new Promise<number>((resolve) => {
    taken.listen(0, '127.0.0.1', () => resolve((taken.address() as net.AddressInfo).port))
  })
  for (const [app, variable] of [
    ['job-manager', 'WEIR_GRPC_PORT'],
    ['job-manager', 'WEIR_HTTP_PORT'],
    ['task-manager', 'WEIR_HTTP_PORT'],
    ['task-manager', 'WEIR_GRPC_PORT'],
  ] as const) {
    const answer = start(app, { [variable]: String(port), WEIR_JOB_MANAGERS: '127.0.0.1:1' })
    expect(answer.stderr).toMatch(new RegExp(`PORT_IN_USE: .*${variable}`))
    expect(answer.status).toBe(2)
  }
  taken.close()
  expect(start('job-manager', { WEIR_ETCD: '' }).stderr).toMatch(/CONFIG_INVALID: WEIR_ETCD/)
  expect(start('job-manager', { WEIR_HOST: '0.0.0.0' }).stderr).toMatch(/CONFIG_INVALID: .*WEIR_FLEET_TOKEN/)
  expect(start('job-manager', { WEIR_ETCD: '127.0.0.1:1' }).stderr).toMatch(/ETCD_UNAVAILABLE/)
  expect(start('job-manager', { WEIR_S3_ENDPOINT: 'http://127.0.0.1:1' }).stderr).toMatch(/OBJECT_STORE_UNAVAILABLE/)
  expect(start('job-manager', { WEIR_S3_SECRET_KEY: 'wrong' }).stderr).toMatch(/OBJECT_STORE_REFUSED/)
  expect(start('task-manager', { WEIR_JOB_MANAGERS: '' }).stderr).toMatch(/CONFIG_INVALID: WEIR_JOB_MANAGERS/)
})

test('no job-manager: the CLI says where it asked and what to do', async () => {
  const answer = await fleet.cli('jobs', '--job-manager', '127.0.0.1:1')
  expect(answer.status).toBe(3)
  expect(answer.stderr).toMatch(/JOB_MANAGER_UNREACHABLE: .*127\.0\.0\.1:1/)
})

test('cancel: what is published is committed, nothing is left open, the id is not used again', async () => {
  const before = await fleet.until(healthy, 'an epoch', (j) => j.finalEpoch >= 1)
  expect(before.restarts).toBe(0) // none of the above has touched it
  expect((await fleet.cli('cancel', healthy)).status).toBe(0)
  const job = await fleet.until(healthy, 'CANCELLED', (j) => j.state === 'CANCELLED')
  expect(job.error).toBeNull()
  expect(await fleet.openTransactions(healthy)).toEqual([])
})
