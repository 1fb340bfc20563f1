/** `weir doctor`: are the servers, as this machine reaches them, fit for exactly-once, and for this job? Changes nothing. */
import { secretOf } from '@weir/connectors'
import {
  NEEDS_OF_ANY,
  asked,
  examine,
  judge,
  needsOf,
  type Asked,
  type ClockFacts,
  type Diagnosis,
  type JobNeeds,
  type Observed,
  type PlanSummary,
  type Profile,
  type RedisFacts,
  type Verdict,
} from '@weir/dataflow'
import { observePostgres, observeRedis, redisAddress } from '@weir/idempotency'
import { KafkaConnections, kafkaFacts, kafkaSecurity } from '@weir/kafka'
import { etcdClient, etcdFacts, httpClock, objectsFacts, openS3 } from '@weir/metadata'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { machineFacts } from '@weir/telemetry'
import { hostname } from 'node:os'
import type { JobsClient } from '@weir/wire'
import { usage } from './usage.ts'

/** Of each server, all at once. */
const BOUND = { clock: systemClock, boundMs: 10_000 }
const SYSTEM = { clock: systemClock, random: systemRandom }

type Env = Readonly<Record<string, string | undefined>>

export interface DoctorCommand {
  /** Null: what holds for any job. */
  readonly plan: PlanSummary | null
  /** Looked at beside those of the job. */
  readonly topics: readonly string[]
  /** `env:NAME` each, beside those of the job. */
  readonly redis: readonly string[]
  readonly kafka: string | undefined
  readonly profile: string
  /** Names servers and credentials, as for the processes of a fleet. */
  readonly env: Env
}

/** @returns the exit code: 0 fit, 1 something is unsafe, 3 nothing is, but not every server answered. */
export async function doctor(command: DoctorCommand, print: (value: unknown, text: string) => void): Promise<number> {
  const { plan, profile } = command
  if (profile !== 'production' && profile !== 'development') {
    throw usage(`--profile is "${profile}"; give production or development`)
  }
  const needs = withMore(plan === null ? NEEDS_OF_ANY : needsOf(plan), command)
  const observed = await observe(needs, command)
  const verdict = judge(examine(observed, needs), profile as Profile, plan?.settings.acceptUnsafe)
  const { diagnoses, accepted } = verdict
  print({ profile, job: plan?.name ?? null, ...verdict, observed }, report(diagnoses, accepted))
  return codeOf(verdict)
}

/**
 * The same, asked of the fleet: its servers as its own processes reach them, with their credentials. `of`: a job of the cluster, or a plan;
 * neither: what holds for any job.
 */
export async function doctorOfFleet(
  client: Pick<JobsClient, 'examine'>,
  of: { readonly jobId?: string; readonly plan?: PlanSummary; readonly profile: string | undefined },
  print: (value: unknown, text: string) => void,
): Promise<number> {
  const { jobId, plan, profile } = of
  const examined = (await client.examine({
    ...(jobId !== undefined && { jobId }),
    ...(plan !== undefined && { plan: Buffer.from(JSON.stringify(plan)) }),
    ...(profile !== undefined && { profile }),
  })) as Verdict & { readonly profile: string; readonly job: string | null }
  print(examined, report(examined.diagnoses, examined.accepted))
  return codeOf(examined)
}

const codeOf = ({ refused, diagnoses }: Verdict): number => {
  if (refused.length > 0) return 1
  return diagnoses.some(({ code }) => code === 'NOT_EXAMINED') ? 3 : 0
}

function withMore(needs: JobNeeds, { topics, redis }: DoctorCommand): JobNeeds {
  const more = redis.map((url) => ({ uid: url, url, waits: false }))
  return {
    ...needs,
    reads: [...new Set([...needs.reads, ...topics])],
    writes: [...new Set([...needs.writes, ...topics])],
    redis: [...needs.redis, ...more],
  }
}

async function observe(needs: JobNeeds, { kafka: brokers, env }: DoctorCommand): Promise<Observed> {
  const clocks: ClockFacts[] = []
  const etcdHosts = (env['WEIR_ETCD'] ?? '').split(',').filter((host) => host !== '')
  const [kafka, etcd, objects, redis, postgres, machine] = await Promise.all([
    askKafka(brokers ?? env['WEIR_KAFKA_BROKERS'], needs, env),
    askEtcd(etcdHosts, env['WEIR_CLUSTER'] ?? 'default'),
    askObjects(env),
    Promise.all(needs.redis.map((one) => askRedis(one, clocks))),
    Promise.all(
      (needs.postgres ?? []).map(({ uid, url }) =>
        asked(`PostgreSQL of "${uid}"`, BOUND, (signal) => observePostgres(secretOf(url, uid), signal)),
      ),
    ),
    machineFacts(`this machine (${hostname()})`, env['WEIR_DATA_DIR'] ?? '.'),
    ...[...etcdHosts.map((host) => clockOf(`etcd at ${host}`, new URL('/health', urlOf(host)).href, clocks))],
    env['WEIR_S3_ENDPOINT'] && clockOf('object store', env['WEIR_S3_ENDPOINT'], clocks),
  ])
  return { ...kafka, ...etcd, ...objects, redis, postgres, machines: [machine], clocks }
}

async function askKafka(
  brokers: string | undefined,
  { reads, writes }: JobNeeds,
  env: DoctorCommand['env'],
): Promise<Pick<Observed, 'kafka'>> {
  if (brokers === undefined || brokers === '') return {}
  const of = { brokers: brokers.split(','), clientId: 'weir-doctor', security: kafkaSecurity(env) }
  const kafka = new KafkaConnections(of, { clock: systemClock })
  try {
    const topics = [...reads, ...writes]
    return { kafka: await asked(`Kafka at ${brokers}`, BOUND, (signal) => kafkaFacts(kafka, topics, signal)) }
  } finally {
    await kafka.close().catch(() => undefined)
  }
}

async function askEtcd(hosts: readonly string[], cluster: string): Promise<Pick<Observed, 'etcd'>> {
  if (hosts.length === 0) return {}
  const client = etcdClient({ hosts, cluster })
  try {
    const name = `etcd at ${hosts.join(',')}`
    return { etcd: await asked(name, BOUND, () => etcdFacts(client, { hosts, cluster }, SYSTEM)) }
  } finally {
    client.close()
  }
}

async function askObjects(env: Env): Promise<Pick<Observed, 'objects'>> {
  if (!env['WEIR_S3_BUCKET']) return {}
  const objects = openS3(env)
  try {
    return { objects: await asked(`bucket "${env['WEIR_S3_BUCKET']}"`, BOUND, () => objectsFacts(objects, SYSTEM)) }
  } finally {
    await objects.close()
  }
}

async function askRedis({ uid, url }: JobNeeds['redis'][number], clocks: ClockFacts[]): Promise<Asked<RedisFacts>> {
  const name = `Redis of "${uid}"`
  return asked(name, BOUND, async (signal) => {
    const { facts, clock } = await observeRedis(redisAddress(secretOf(url, uid)), systemClock, signal)
    clocks.push({ name, ...clock })
    return facts
  })
}

/** What does not tell is left out: its own server is told of anyway. */
async function clockOf(name: string, url: string, clocks: ClockFacts[]): Promise<void> {
  const answer = await asked(name, BOUND, (signal) => httpClock(url, systemClock, signal))
  if ('facts' in answer) clocks.push({ name, ...answer.facts })
}

const urlOf = (host: string): string => (host.includes('://') ? host : `http://${host}`)

const ORDER = { unsafe: 0, warning: 1, ok: 2 } as const

function report(diagnoses: readonly Diagnosis[], accepted: readonly Diagnosis[]): string {
  const sorted = [...diagnoses].sort((a, b) => ORDER[a.severity] - ORDER[b.severity])
  const lines = sorted.map((one) => {
    const { code, severity, what, why, remedy } = one
    const mark = accepted.includes(one) ? 'accepted' : severity
    return [`${mark.padEnd(9)}${code}: ${what}: ${why}`, ...(remedy === '' ? [] : [`         → ${remedy}`])].join('\n')
  })
  const count = (of: Diagnosis['severity']): number => diagnoses.filter(({ severity }) => severity === of).length
  return [...lines, `${count('unsafe')} unsafe, ${count('warning')} with a warning, ${count('ok')} ok`].join('\n')
}
