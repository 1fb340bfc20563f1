/**
 * Which alert leads to which changes: `stepRemediation(state, event) → { state, effects }`, pure.
 *
 * ```
 *            firing, and a policy for it, and the job runs
 *  (nothing) ──────────────────────────────────────────────▶ acting ──▶ cooling down ──▶ (acts again, if it still fires)
 *                 no policy, cooling down, over the limit,     │
 *                 nothing to do within the bounds: `passed`    └─ resolved ──▶ what is to be undone is undone (throttle, degrade)
 * ```
 *
 * Every change is counted for an hour, for its job and for the fleet: a policy that does not help does not go on for ever. What is
 * undone is not counted, since a limit that stays is worse than one change more. What several policies have done to one job is undone together,
 * when the alert that came first is over; one that still fires does it anew.
 */
import type { RemediationAction, RemediationConfig, RemediationPolicy } from './config.ts'
import type { Alert } from './alertmanager.ts'

const HOUR_MS = 3_600_000

/** Of a job, when an alert about it comes. */
export interface JobFacts {
  readonly jobId: string
  readonly isRunning: boolean
  readonly isRescaling: boolean
  readonly parallelism: number
  readonly maxParallelism: number
  /** Slots that are free now: the bound of a rescale, besides the policy's. */
  readonly freeSlots: number
  /** Null: the job has none. */
  readonly degradeSwitch: 'on' | 'off' | null
  readonly sources: readonly {
    readonly source: string
    readonly recordsPerSecond: number | null
    readonly minRecordsPerSecond: number | null
    /** What is used of the limit now; null: not limited, or nobody has told. */
    readonly currentRecordsPerSecond: number | null
  }[]
}

export interface SourceLimit {
  readonly source: string
  readonly recordsPerSecond: number | null
  readonly minRecordsPerSecond: number | null
}

export type Change =
  | { readonly type: 'rescale'; readonly jobId: string; readonly parallelism: number }
  | { readonly type: 'limit'; readonly jobId: string; readonly limits: readonly SourceLimit[] }
  | { readonly type: 'degrade-switch'; readonly jobId: string; readonly degraded: boolean }
  /** `subtask` null: the alert names none. */
  | { readonly type: 'restart-region'; readonly jobId: string; readonly subtask: number | null }

export interface RemediationEffect {
  readonly type: 'change' | 'undo' | 'passed'
  readonly alert: string
  readonly jobId: string
  /** Null: nothing is done, `why` says so. */
  readonly change: Change | null
  readonly why: string
}

/** What is taken back when the alert is over. */
interface Undo {
  readonly alert: string
  readonly limits: readonly SourceLimit[]
  /** Turned on by a policy: somebody's own wish stays. */
  readonly hasTurnedSwitch: boolean
}

export interface RemediationState {
  readonly config: RemediationConfig
  /** Changes of the last hour, oldest first. */
  readonly changes: readonly { readonly jobId: string; readonly atMs: number }[]
  /** `alert/job` → until when its policy does nothing. */
  readonly cooling: ReadonlyMap<string, number>
  /** By job. */
  readonly undo: ReadonlyMap<string, Undo>
}

export type RemediationEvent = {
  readonly type: 'alert'
  readonly alert: Alert
  /** Null: there is no such job. */
  readonly job: JobFacts | null
  /** Monotonic. */
  readonly nowMs: number
}

export interface RemediationStep {
  readonly state: RemediationState
  readonly effects: readonly RemediationEffect[]
}

export const remediationFor = (config: RemediationConfig): RemediationState => ({
  config,
  changes: [],
  cooling: new Map(),
  undo: new Map(),
})

export function stepRemediation(state: RemediationState, event: RemediationEvent): RemediationStep {
  const { alert, job, nowMs } = event
  const jobId = alert.job ?? ''
  const policy = state.config.policies.find((of) => of.alert === alert.name && (of.jobs?.includes(jobId) ?? true))
  if (policy === undefined) return { state, effects: [] }
  const passed = (why: string): RemediationStep => ({
    state,
    effects: [{ type: 'passed', alert: alert.name, jobId, change: null, why }],
  })
  if (job === null) return passed(alert.job === null ? 'the alert names no job' : 'there is no such job')
  if (alert.status === 'resolved') return resolved(state, alert.name, job)
  if (!job.isRunning) return passed('the job does not run')
  const coolingUntil = state.cooling.get(keyOf(alert.name, jobId)) ?? nowMs
  if (coolingUntil > nowMs) return passed(`it has done so lately; again in ${seconds(coolingUntil - nowMs)} s`)
  return acted(state, policy, event.alert, job, nowMs)
}

function acted(
  state: RemediationState,
  policy: RemediationPolicy,
  alert: Alert,
  job: JobFacts,
  nowMs: number,
): RemediationStep {
  const { jobId } = job
  const effects: RemediationEffect[] = []
  let next: RemediationState = { ...state, changes: state.changes.filter(({ atMs }) => nowMs - atMs < HOUR_MS) }
  let facts = job
  for (const action of policy.actions) {
    const { change, why } = changeFor(action, facts, alert)
    const over = change === null ? null : overLimit(next, jobId)
    if (change === null || over !== null) {
      effects.push({ type: 'passed', alert: policy.alert, jobId, change: null, why: over ?? why })
      continue
    }
    effects.push({ type: 'change', alert: policy.alert, jobId, change, why })
    next = { ...next, changes: [...next.changes, { jobId, atMs: nowMs }] }
    if (change.type === 'degrade-switch') {
      next = { ...next, undo: withUndo(next.undo, policy.alert, facts, [], true) }
      facts = { ...facts, degradeSwitch: 'on' }
    }
    if (change.type !== 'limit') continue
    next = { ...next, undo: withUndo(next.undo, policy.alert, facts, change.limits) }
    facts = limited(facts, change.limits)
  }
  const acts = effects.some(({ type }) => type === 'change')
  if (!acts) return { state: next, effects }
  const until = nowMs + policy.cooldownSeconds * 1_000
  const cooling = new Map([...next.cooling].filter(([, at]) => at > nowMs)).set(keyOf(policy.alert, jobId), until)
  return { state: { ...next, cooling }, effects }
}

/** Also of a job that has stopped meanwhile: its record keeps limits. */
function resolved(state: RemediationState, alert: string, { jobId }: JobFacts): RemediationStep {
  const undo = state.undo.get(jobId)
  if (undo?.alert !== alert) return { state, effects: [] }
  const left = new Map(state.undo)
  left.delete(jobId)
  const effects: RemediationEffect[] = []
  const undone = (change: Change, why: string): void =>
    void effects.push({ type: 'undo', alert, jobId, change, why: `the alert is over: ${why}` })
  if (undo.limits.length > 0) undone({ type: 'limit', jobId, limits: undo.limits }, 'sources are read as before')
  if (undo.hasTurnedSwitch)
    undone({ type: 'degrade-switch', jobId, degraded: false }, 'user code leaves nothing out any more')
  return { state: { ...state, undo: left }, effects }
}

/** `change` null: within its bounds there is nothing to do. */
function changeFor(action: RemediationAction, job: JobFacts, alert: Alert): { change: Change | null; why: string } {
  const { jobId } = job
  switch (action.do) {
    case 'rescale': {
      if (job.isRescaling) return { change: null, why: 'the job is being rescaled already' }
      const wished = Math.max(job.parallelism + 1, Math.round(job.parallelism * action.factor))
      const most = Math.min(action.max, job.maxParallelism, job.parallelism + job.freeSlots)
      const parallelism = Math.min(wished, most)
      if (parallelism <= job.parallelism) {
        const why = `no more than ${most} subtasks: the policy's max is ${action.max}, the job's ${job.maxParallelism}, ${job.freeSlots} slots are free`
        return { change: null, why }
      }
      return {
        change: { type: 'rescale', jobId, parallelism },
        why: `from ${job.parallelism} to ${parallelism} subtasks`,
      }
    }
    case 'throttle': {
      const limits = job.sources.flatMap(
        ({ source, recordsPerSecond, minRecordsPerSecond, currentRecordsPerSecond }) => {
          const now = Math.min(recordsPerSecond ?? Infinity, currentRecordsPerSecond ?? Infinity)
          const wished = Number.isFinite(now) ? now * action.factor : action.unlimitedRecordsPerSecond
          const rate = Math.max(action.minRecordsPerSecond, wished)
          if (rate >= now) return []
          return [{ source, recordsPerSecond: rate, minRecordsPerSecond: atMost(minRecordsPerSecond, rate) }]
        },
      )
      if (limits.length > 0) return { change: { type: 'limit', jobId, limits }, why: 'sources are read more slowly' }
      return { change: null, why: `no source is read with more than ${action.minRecordsPerSecond} records/s` }
    }
    case 'degrade': {
      const limits = job.sources.flatMap(({ source, recordsPerSecond, minRecordsPerSecond }) => {
        const rate = action.recordsPerSecond
        if (!action.sources.includes(source) || (recordsPerSecond !== null && recordsPerSecond <= rate)) return []
        return [{ source, recordsPerSecond: rate, minRecordsPerSecond: atMost(minRecordsPerSecond, rate) }]
      })
      if (limits.length === 0)
        return { change: null, why: `none of ${action.sources.join(', ')} is read faster than that` }
      return { change: { type: 'limit', jobId, limits }, why: 'what may wait waits' }
    }
    case 'degrade-switch':
      if (job.degradeSwitch === 'on') return { change: null, why: 'the degrade switch is on already' }
      if (job.degradeSwitch === null)
        return { change: null, why: 'the job has no degrade switch (the setting degradable)' }
      return { change: { type: 'degrade-switch', jobId, degraded: true }, why: 'user code leaves out what it may' }
    case 'restart-region':
      return {
        change: { type: 'restart-region', jobId, subtask: alert.subtask },
        why: 'its slices begin again from the last epoch',
      }
  }
}

function overLimit({ changes, config: { actionsPerHour } }: RemediationState, jobId: string): string | null {
  const ofJob = changes.filter((of) => of.jobId === jobId).length
  if (ofJob >= actionsPerHour.job) return `${ofJob} changes of this job in an hour are the limit`
  if (changes.length >= actionsPerHour.fleet) return `${changes.length} changes in an hour are the limit of the fleet`
  return null
}

/** What a source was limited to before the first of several changes is what it gets back. */
function withUndo(
  undo: RemediationState['undo'],
  alert: string,
  { jobId, sources }: JobFacts,
  limits: readonly SourceLimit[],
  turnsSwitch = false,
): RemediationState['undo'] {
  const known = undo.get(jobId)
  const before = limits.flatMap(({ source }): SourceLimit[] => {
    if (known?.limits.some((of) => of.source === source)) return []
    const { recordsPerSecond, minRecordsPerSecond } = sources.find((of) => of.source === source)!
    return [{ source, recordsPerSecond, minRecordsPerSecond }]
  })
  return new Map(undo).set(jobId, {
    alert: known?.alert ?? alert,
    limits: [...(known?.limits ?? []), ...before],
    hasTurnedSwitch: turnsSwitch || (known?.hasTurnedSwitch ?? false),
  })
}

const limited = (job: JobFacts, limits: readonly SourceLimit[]): JobFacts => ({
  ...job,
  sources: job.sources.map((of) => ({ ...of, ...limits.find(({ source }) => source === of.source) })),
})

/** A rate is not lowered below its own floor by the source itself. */
const atMost = (least: number | null, rate: number): number | null => (least === null ? null : Math.min(least, rate))

const keyOf = (alert: string, jobId: string): string => `${alert}/${jobId}`
const seconds = (ms: number): number => Math.ceil(ms / 1_000)
