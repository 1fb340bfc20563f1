import { defaultSettings, type JobSettings, type KafkaFacts, type Observed, type PlanSummary } from '@weir/dataflow'
import type { Janitor } from '@weir/job'
import { WeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { JobsClient } from '@weir/wire'
import { expect, test } from 'vitest'
import { Preflight } from './preflight.ts'
import { testManager } from './rest/testing.ts'

const topic = { replicas: 1, inSync: 1, configs: {} }
const facts: KafkaFacts = {
  ...{ brokers: 1, transactionVersion: 2, metadataVersion: 30, verifiesTransactions: true },
  brokerConfigs: { 1: { 'transaction.max.timeout.ms': '900000' } },
  topics: { in: topic, out: topic },
}
const oneBroker: Observed = { kafka: { name: 'kafka', facts } }
const plan = (settings: Partial<JobSettings> = {}, connector = 'kafka'): PlanSummary => ({
  ...{
    version: 1,
    name: 'j',
    settings: { ...defaultSettings, ...settings },
    stages: 1,
    sources: ['in'],
    sinks: ['out'],
  },
  nodes: [
    { uid: 'in', kind: 'source', config: { descriptor: { connector, topic: 'in' } }, stage: 0 },
    { uid: 'out', kind: 'sink', config: { descriptor: { connector, topic: 'out' } }, stage: 0 },
  ],
  edges: [[0, 1]],
})
const janitor = (observed: Observed): Janitor => ({
  ask: () => Promise.resolve({ type: 'examined', observed } as never),
})
const nobody: Janitor = {
  ask: () => Promise.reject(new WeirError({ code: 'JANITOR_MISSING', kind: 'retry' }, 'no task-manager has joined')),
}
const preflight = (profile: 'production' | 'development'): Preflight =>
  new Preflight(profile, { metadata: {}, clock: systemClock, log: { info: () => {}, warn: () => {} } })

test('production refuses a job whose output is on one broker, with the remedy', async () => {
  await expect(preflight('production').check(plan(), janitor(oneBroker))).rejects.toMatchObject({
    code: 'JOB_UNSAFE',
    kind: 'invalid',
    message: expect.stringMatching(/topic "out": 1 replica(.|\n)*Remedy: give it 3 replicas/) as string,
  })
})

test('what the job accepts by name it starts with, and is told of', async () => {
  const notes = await preflight('production').check(plan({ acceptUnsafe: ['KAFKA_REPLICATION'] }), janitor(oneBroker))
  expect(notes.filter((note) => note.startsWith('accepted although it is unsafe: KAFKA_REPLICATION'))).toHaveLength(2)
})

test('development takes one broker and says nothing, but no timeout that the broker refuses', async () => {
  expect(await preflight('development').check(plan(), janitor(oneBroker))).toEqual([])
  const short = {
    kafka: { name: 'k', facts: { ...facts, brokerConfigs: { 1: { 'transaction.max.timeout.ms': '1000' } } } },
  }
  await expect(preflight('development').check(plan(), janitor(short))).rejects.toMatchObject({ code: 'JOB_UNSAFE' })
})

test('when nobody can ask the servers the job starts, and production says so', async () => {
  expect(await preflight('production').check(plan(), nobody)).toEqual([
    expect.stringContaining('NOT_EXAMINED: servers, by a task-manager: no task-manager has joined') as string,
  ])
  expect(await preflight('development').check(plan(), nobody)).toEqual([])
})

test('a job that needs no server of the task-managers asks none', async () => {
  const never: Janitor = { ask: () => Promise.reject(new Error('asked')) }
  expect(await preflight('production').check(plan({}, 'log'), never)).toEqual([])
})

test('etcd with an alarm refuses everywhere', async () => {
  const etcd = { members: 3, alarms: ['NOSPACE'], dbBytes: 1, quotaBytes: 2e9, writeMs: 1, readMs: 1 }
  const deps = { metadata: { etcdFacts: () => Promise.resolve(etcd) }, clock: systemClock }
  const of = new Preflight('development', { ...deps, log: { info: () => {}, warn: () => {} } })
  await expect(of.check(plan({}, 'log'), nobody)).rejects.toMatchObject({ code: 'JOB_UNSAFE' })
})

test('asked beforehand it tells of everything, refuses nothing and starts nothing, under the profile that is asked for', async () => {
  const examined = await preflight('development').examine(plan(), janitor(oneBroker), 'production')
  expect(examined).toMatchObject({ profile: 'production', job: 'j', observed: oneBroker, accepted: [] })
  expect(examined.refused.map(({ code }) => code)).toContain('KAFKA_REPLICATION')
  expect(await preflight('development').examine(plan(), janitor(oneBroker), null)).toMatchObject({
    ...{ profile: 'development', refused: [] },
  })
  const unasked = await preflight('production').examine(null, nobody, null)
  expect(unasked).toMatchObject({ job: null, refused: [], diagnoses: [{ code: 'NOT_EXAMINED' }] })
})

test('by gRPC: of a plan, of any job; a job that is not there and a profile there is none of are refused', async () => {
  const manager = await testManager()
  const client = new JobsClient([manager.grpc], { token: null })
  const asPlan = Buffer.from(JSON.stringify(plan()))
  expect(await client.examine({ plan: asPlan, profile: 'production' })).toMatchObject({
    profile: 'production',
    job: 'j',
  })
  expect(await client.examine({})).toMatchObject({ job: null })
  await expect(client.examine({ jobId: 'nobody' })).rejects.toMatchObject({ code: 'JOB_UNKNOWN' })
  await expect(client.examine({ profile: 'lax' })).rejects.toMatchObject({ code: 'PROFILE_UNKNOWN' })
  await expect(client.examine({ plan: Buffer.from('{}') })).rejects.toMatchObject({ code: 'PLAN_INVALID' })
  client.close()
  await manager.close()
})

test('what a job accepts stands in the audit log before anything is done', async () => {
  const manager = await testManager()
  const client = new JobsClient([manager.grpc], { token: null })
  const settings = { ...defaultSettings, acceptUnsafe: ['KAFKA_REPLICATION'] as const }
  const submitted = client.submit({
    ...{ jobId: '', name: 'j', bundleDigest: 'a'.repeat(64), graphHash: 'g' },
    plan: Buffer.from(JSON.stringify(plan(settings))),
  })
  await expect(submitted).rejects.toMatchObject({ code: 'BUNDLE_UNKNOWN' })
  const entries = (await (await fetch(`${manager.url}/api/v1/audit`)).json()) as { step: string; wish: object }[]
  expect(entries.find(({ step }) => step === 'asked')).toMatchObject({
    what: 'job.submit',
    wish: { acceptUnsafe: ['KAFKA_REPLICATION'] },
  })
  client.close()
  await manager.close()
})
