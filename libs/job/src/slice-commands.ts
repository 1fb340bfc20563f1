/** The commands of one job to the task-managers of its slices: whom they go to, and what goes in front of what. */
import type { CommitPermit } from '@weir/checkpoint'
import type { PlanSummary, RateLimits } from '@weir/dataflow'
import type { Subtask, TaskManagerId } from '@weir/model'
import { alignmentFor, hasOthers, stepAlignment, type AlignmentEvent, type AlignmentState } from './alignment.ts'
import type { JobTraces } from './job-traces.ts'
import { sliceOf } from './moves.ts'
import type { ControlLink, SliceCommand } from './ports.ts'
import type { JobEffect, JobState, SliceId } from './state.ts'

type EffectOf<T extends JobEffect['type']> = Extract<JobEffect, { type: T }>

export interface SliceCommandsOptions {
  readonly plan: Pick<PlanSummary, 'nodes'>
  readonly limits: RateLimits
  readonly degraded: boolean
}

export interface SliceCommandsDeps {
  readonly control: ControlLink
  readonly traces: JobTraces
  readonly state: () => JobState
  /** A command could not be sent. Called behind the step that sends it. */
  readonly unreachable: (taskManagerId: TaskManagerId) => void
}

export class SliceCommands {
  readonly #deps: SliceCommandsDeps
  /** Null: every source is read as fast as it comes. */
  #alignment: AlignmentState | null
  #limits: RateLimits
  #degraded: boolean

  constructor({ plan, limits, degraded }: SliceCommandsOptions, deps: SliceCommandsDeps) {
    this.#deps = deps
    this.#alignment = alignmentFor(plan)
    this.#limits = limits
    this.#degraded = degraded
  }

  get limits(): RateLimits {
    return this.#limits
  }

  /** The degrade switch, as the next barrier brings it. */
  get degraded(): boolean {
    return this.#degraded
  }

  set degraded(degraded: boolean) {
    this.#degraded = degraded
  }

  deploy({ to, slice }: EffectOf<'deploy'>): void {
    const { bundleDigest, graphHash, plan } = this.#deps.state().spec
    this.send(to, { type: 'deploy', slice, bundleDigest, graphHash, parallelism: plan.settings.parallelism })
  }

  run({ to, slice, peers }: EffectOf<'run'>, now: number): void {
    this.#sendRates(to, slice) // in front of it: no record is read at another rate
    this.send(to, { type: 'run', slice, peers })
    this.align({ type: 'runs', subtask: slice.subtask, now })
  }

  trigger({ checkpoint, last, cut }: EffectOf<'trigger'>): void {
    const switched = this.#degraded && { degraded: true }
    this.toAll((slice) => ({ type: 'trigger', slice, checkpoint, last, cut, ...switched }))
  }

  /** Only a permit gets here, and only the publish mints one: the command names exactly what may be ended. */
  commit(permit: CommitPermit, upTo: EffectOf<'commit'>['upTo']): void {
    const { slices } = this.#deps.state()
    for (const [subtask, sequences] of upTo) {
      const to = slices.get(subtask)?.taskManagerId
      if (to === undefined) continue
      const { epoch, digest } = permit.manifest
      this.send(to, { type: 'commit', slice: this.#slice(subtask), epoch, manifestDigest: digest, upTo: sequences })
    }
  }

  /** Slices that run hear of it at once, the others when they do. */
  adjustRates(limits: RateLimits): void {
    this.#limits = limits
    for (const { status, taskManagerId, subtask } of this.#deps.state().slices.values())
      if (status === 'running') this.#sendRates(taskManagerId, this.#slice(subtask))
  }

  /** Of slices that run; others hear of it when they do. */
  align(event: AlignmentEvent): void {
    const { spec, phase, slices } = this.#deps.state()
    const { parallelism } = spec.plan.settings
    if (this.#alignment === null || !hasOthers(this.#alignment, parallelism) || phase !== 'running') return
    const { state, effects } = stepAlignment(this.#alignment, event)
    this.#alignment = state
    for (const { subtask, bounds } of effects) {
      const slice = slices.get(subtask)
      if (slice?.status === 'running')
        this.send(slice.taskManagerId, { type: 'align', slice: this.#slice(subtask), bounds })
    }
  }

  toAll(command: (slice: SliceId) => SliceCommand): void {
    for (const s of this.#deps.state().slices.values())
      if (s.status !== 'gone') this.send(s.taskManagerId, command(this.#slice(s.subtask)))
  }

  send(to: TaskManagerId, command: SliceCommand): void {
    const { control, traces, unreachable } = this.#deps
    if (control.send(to, traces.carried(command))) return
    // Not inside the step that is being performed: its remaining effects come first.
    queueMicrotask(() => unreachable(to))
  }

  #sendRates(to: TaskManagerId, slice: SliceId): void {
    const limits = this.#limits
    if (Object.keys(limits).length > 0) this.send(to, { type: 'rates', slice, limits })
  }

  #slice(subtask: Subtask): SliceId {
    return sliceOf(this.#deps.state(), subtask)
  }
}
