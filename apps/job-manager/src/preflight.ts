/**
 * Before a job starts: are the servers it needs fit for it? etcd is asked here, the others by a task-manager, which has their
 * addresses and credentials; all at once and within a bound. What is unsafe refuses the job, unless the job itself accepts it by
 * name (the audit log keeps those names). A server that does not answer refuses nothing: the job waits for it, as it would later.
 */
import {
  NEEDS_OF_ANY,
  asked,
  examine,
  judge,
  needsOf,
  usesKafka,
  type Diagnosis,
  type JobNeeds,
  type Observed,
  type PlanSummary,
  type Profile,
  type Verdict,
} from '@weir/dataflow'
import type { Janitor } from '@weir/job'
import { WeirError, type Clock } from '@weir/model'
import type { Logger } from '@weir/telemetry'
import type { Metadata } from './metadata.ts'

/** A submit waits no longer than this; what has not answered by then is not held against the job. */
const BOUND_MS = 5_000

/** What `weir doctor --fleet` shows. */
export interface Examination extends Verdict {
  readonly profile: Profile
  /** Its name; null: what holds for any job. */
  readonly job: string | null
  readonly observed: Observed
}

export interface PreflightDeps {
  readonly metadata: Pick<Metadata, 'etcdFacts'>
  readonly clock: Clock
  readonly log: Pick<Logger, 'info' | 'warn'>
}

export class Preflight {
  readonly #profile: Profile
  readonly #deps: PreflightDeps

  constructor(profile: Profile, deps: PreflightDeps) {
    this.#profile = profile
    this.#deps = deps
  }

  /** Without a word about whether it may start. `plan` null: what holds for any job. `profile` null: that of this job-manager. */
  async examine(plan: PlanSummary | null, janitor: Janitor, profile: Profile | null): Promise<Examination> {
    const needs = plan === null ? NEEDS_OF_ANY : needsOf(plan)
    const [etcd, servers] = await Promise.all([this.#askEtcd(), this.#askFleet(needs, janitor)])
    const observed = { ...servers, ...etcd }
    const against = profile ?? this.#profile
    const verdict = judge(examine(observed, needs), against, plan?.settings.acceptUnsafe)
    return { profile: against, job: plan?.name ?? null, ...verdict, observed }
  }

  /** @returns what should be known, in `production`. Throws `JOB_UNSAFE` (invalid) with every reason and its remedy. */
  async check(plan: PlanSummary, janitor: Janitor): Promise<readonly string[]> {
    const { clock, log } = this.#deps
    const from = clock.monotonic()
    const needs = needsOf(plan)
    const [etcd, servers] = await Promise.all([this.#askEtcd(), this.#askServers(needs, janitor)])
    const diagnoses = examine({ ...servers, ...etcd }, needs)
    const { refused, accepted, diagnoses: judged } = judge(diagnoses, this.#profile, plan.settings.acceptUnsafe)
    const warnings = judged.filter(({ severity }) => severity === 'warning')
    const codes = (of: readonly Diagnosis[]): readonly string[] => of.map(({ code }) => code)
    const outcome = { refused: codes(refused), accepted: codes(accepted), warnings: codes(warnings) }
    log.info({ job: plan.name, ...outcome, durationMs: Math.round(clock.monotonic() - from) }, 'preflight')
    if (refused.length > 0) throw unsafe(plan.name, refused)
    if (this.#profile === 'development') return []
    return [...accepted.map((one) => `accepted although it is unsafe: ${line(one)}`), ...warnings.map(line)]
  }

  async #askEtcd(): Promise<Pick<Observed, 'etcd'>> {
    const { metadata, clock } = this.#deps
    if (metadata.etcdFacts === undefined) return {}
    return { etcd: await asked('etcd', { clock, boundMs: BOUND_MS }, () => metadata.etcdFacts!()) }
  }

  async #askServers(needs: JobNeeds, janitor: Janitor): Promise<Observed> {
    if (!usesKafka(needs) && needs.redis.length === 0) return {}
    return this.#askFleet(needs, janitor)
  }

  async #askFleet(needs: JobNeeds, janitor: Janitor): Promise<Observed> {
    const { clock } = this.#deps
    const name = 'servers, by a task-manager'
    const answer = await asked(name, { clock, boundMs: BOUND_MS }, () => janitor.ask({ type: 'examine', needs }))
    return 'facts' in answer ? answer.facts.observed : { kafka: answer }
  }
}

/** Null: none was given. Throws `PLAN_INVALID` (invalid). */
export function planIn(bytes: Uint8Array): PlanSummary | null {
  if (bytes.byteLength === 0) return null
  try {
    const plan = JSON.parse(Buffer.from(bytes).toString('utf8')) as PlanSummary
    needsOf(plan)
    return plan
  } catch (cause) {
    throw new WeirError({ code: 'PLAN_INVALID', kind: 'invalid' }, 'the plan is none: send it as for a submit', {
      cause,
    })
  }
}

/** Null: none was given. Throws `PROFILE_UNKNOWN` (invalid). */
export function profileIn(text: string): Profile | null {
  if (text === '') return null
  if (text === 'production' || text === 'development') return text
  throw new WeirError(
    { code: 'PROFILE_UNKNOWN', kind: 'invalid', profile: text },
    `there is no profile "${text}"; give production or development`,
  )
}

const line = ({ code, what, why, remedy }: Diagnosis): string => `${code}: ${what}: ${why}. Remedy: ${remedy}`

const unsafe = (job: string, refused: readonly Diagnosis[]): WeirError =>
  new WeirError(
    { code: 'JOB_UNSAFE', kind: 'invalid', job, diagnoses: refused },
    [
      `job "${job}" does not start, since it could lose or repeat output:`,
      ...refused.map((one) => `- ${line(one)}`),
      `Mend it, or accept it in so many words in the job's settings: acceptUnsafe: [${[...new Set(refused.map(({ code }) => `'${code}'`))].join(', ')}]. A job-manager for development (WEIR_PROFILE=development) forgives what one broker alone cannot have.`,
    ].join('\n'),
  )
