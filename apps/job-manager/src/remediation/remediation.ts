/**
 * Drives the machine of remediation: what Alertmanager tells becomes changes of jobs, each in its turn and in the audit log, as one
 * that a person asks for. One per process: the next leader knows nothing of limits that this one has set, which stand in the jobs' records.
 */
import { WeirError, asWeirError, jobId, type Clock } from '@weir/model'
import type { JobView } from '@weir/job'
import type { Logger, Metrics } from '@weir/telemetry'
import type { Audit } from '../audit/audit.ts'
import { jobFacts } from '../audit/entry.ts'
import type { Principal } from '../auth/roles.ts'
import type { Term } from '../term.ts'
import type { Turns } from '../turns.ts'
import type { Alert } from './alertmanager.ts'
import type { RemediationConfig } from './config.ts'
import { remediationFor, stepRemediation, type Change, type JobFacts, type RemediationState } from './machine.ts'

/** What became of one alert, or of one action of its policy. */
export interface Remedy {
  readonly alert: string
  readonly jobId: string
  readonly outcome: 'done' | 'dry-run' | 'passed' | 'refused'
  /** rescale, limit, degrade-switch, restart-region; null: nothing was to be done. */
  readonly change: Change['type'] | null
  readonly why: string
}

export interface RemediationDeps {
  readonly audit: Audit
  readonly turns: Turns
  readonly clock: Pick<Clock, 'monotonic'>
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly metrics: Pick<Metrics, 'remedy'>
}

/** What a job is asked and told: the leader's term. */
export type Jobs = Pick<Term, 'get' | 'settingsOf' | 'freeSlots' | 'changes'>

export class Remediation {
  readonly #deps: RemediationDeps
  #state: RemediationState

  constructor(config: RemediationConfig, deps: RemediationDeps) {
    this.#deps = deps
    this.#state = remediationFor(config)
  }

  /** One alert after the other: what the first has changed the next one sees. @param from address of the caller */
  async alerts(jobs: Jobs, alerts: readonly Alert[], who: Principal, from: string): Promise<readonly Remedy[]> {
    const remedies: Remedy[] = []
    for (const alert of alerts) remedies.push(...(await this.#alert(jobs, alert, who, from)))
    return remedies
  }

  async #alert(jobs: Jobs, alert: Alert, who: Principal, from: string): Promise<Remedy[]> {
    const { clock, log, metrics } = this.#deps
    const job = alert.job === null ? null : factsOf(jobs, alert.job)
    const { state, effects } = stepRemediation(this.#state, { type: 'alert', alert, job, nowMs: clock.monotonic() })
    this.#state = state
    const remedies: Remedy[] = []
    for (const { change, why, ...of } of effects) {
      const said = { alert: of.alert, jobId: of.jobId, change: change?.type ?? null }
      const remedy: Remedy =
        change === null
          ? { ...said, outcome: 'passed', why }
          : { ...said, ...(await this.#made(jobs, change, alert, why, who, from)) }
      log[remedy.outcome === 'refused' ? 'warn' : 'info']({ remedy }, 'remediation')
      metrics.remedy(remedy)
      remedies.push(remedy)
    }
    return remedies
  }

  /** In the audit log before it is made, also where nothing is to be made. */
  async #made(
    jobs: Jobs,
    change: Change,
    { name: alert }: Alert,
    why: string,
    who: Principal,
    from: string,
  ): Promise<Pick<Remedy, 'outcome' | 'why'>> {
    const { audit, turns } = this.#deps
    const { dryRun } = this.#state.config
    const entry = {
      ...{ who, from, target: change.jobId, wish: { alert, why, ...change } },
      what: dryRun ? 'remediation.dry-run' : `remediation.${change.type}`,
      facts: () => jobFacts(jobs.get(jobId(change.jobId))),
    }
    const make = async (): Promise<void> => {
      if (!dryRun) await perform(jobs, change, alert)
    }
    try {
      await turns.run(change.jobId, () => audit.change(entry, make))
      return { outcome: dryRun ? 'dry-run' : 'done', why }
    } catch (thrown) {
      return { outcome: 'refused', why: asWeirError(thrown, 'INTERNAL').message }
    }
  }
}

async function perform(jobs: Jobs, change: Change, alert: string): Promise<void> {
  const id = jobId(change.jobId)
  switch (change.type) {
    case 'rescale':
      await jobs.changes.rescale(id, change.parallelism)
      return
    case 'limit':
      for (const { source, ...limit } of change.limits) await jobs.changes.adjustRate(id, source, limit)
      return
    case 'degrade-switch':
      await jobs.changes.degrade(id, change.degraded)
      return
    case 'restart-region':
      return jobs.changes.restartSlices(id, change.subtask, `alert ${alert}`)
  }
}

/** Null: there is no such job. */
function factsOf(jobs: Jobs, id: string): JobFacts | null {
  let view: JobView
  try {
    view = jobs.get(jobId(id))
  } catch (error) {
    if (error instanceof WeirError && (error.code === 'JOB_UNKNOWN' || error.kind === 'invalid')) return null
    throw error
  }
  return {
    jobId: id,
    isRunning: view.state === 'RUNNING',
    isRescaling: view.rescalingTo !== null,
    parallelism: view.parallelism,
    maxParallelism: jobs.settingsOf(view.jobId).maxParallelism,
    freeSlots: jobs.freeSlots(),
    degradeSwitch: view.degradeSwitch,
    sources: view.rates.map(({ source, recordsPerSecond, minRecordsPerSecond, current }) => ({
      ...{ source, recordsPerSecond, minRecordsPerSecond, currentRecordsPerSecond: current },
    })),
  }
}
