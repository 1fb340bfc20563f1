/** What people see of a job besides its state: epochs, alerts, gaps, latency, notices. Nothing is decided by it. */
import { givenUpText, lateText, listed, type LateSlice, type Manifest } from '@weir/checkpoint'
import { gapText } from '@weir/dataflow'
import type { CheckpointId, Clock } from '@weir/model'
import { Alerts } from './alerts.ts'
import { ClaimsWatch } from './claims-watch.ts'
import { SourceGaps } from './gaps.ts'
import { CheckpointHistory } from './history.ts'
import { Latency } from './latency.ts'
import type { JobEffect, UntimedEvent } from './state.ts'
import type { TaskCheckpoints } from './task-checkpoints.ts'

type EffectOf<T extends JobEffect['type']> = Extract<JobEffect, { type: T }>

export interface JobWatchDeps {
  readonly clock: Clock
  readonly publish: (channel: string, message: Record<string, unknown>) => void
}

export class JobWatch {
  readonly #deps: JobWatchDeps
  readonly alerts: Alerts
  readonly history = new CheckpointHistory()
  readonly gaps = new SourceGaps()
  readonly latency = new Latency()
  readonly #claims: ClaimsWatch

  constructor(deps: JobWatchDeps) {
    this.#deps = deps
    this.alerts = new Alerts(deps.clock, deps.publish)
    this.#claims = new ClaimsWatch(this.alerts)
  }

  /** @param isCurrent it is of a slice of the attempt. */
  heard(event: UntimedEvent, isCurrent: boolean): void {
    switch (event.type) {
      case 'deployed':
        return this.#claims.begun(event.slice.subtask)
      case 'ack':
        return this.history.acked(event.checkpoint, event.slice.subtask, event)
      case 'declined':
        return this.history.tasks.declined(event.checkpoint.epoch, event.slice.subtask, event.failure)
      default:
        if (isCurrent) this.#heardOfCurrent(event)
    }
  }

  #heardOfCurrent(event: UntimedEvent): void {
    switch (event.type) {
      case 'finalized': {
        const { slice, committed, ahead } = event
        return this.#deps.publish('weir:job:slice-finalized', { subtask: slice.subtask, committed, ahead })
      }
      case 'source-gap':
        return this.#gap(event)
      case 'claims':
        return this.#claims.heard(event.operator, event.slice.subtask, event.news)
      case 'gave-up':
        return this.#late(event.checkpoint, { subtask: event.slice.subtask, ...event.late })
      case 'progress':
        if (event.metrics?.latency) this.latency.add(event.metrics.latency)
    }
  }

  triggered({ checkpoint, cut }: EffectOf<'trigger'>, slices: Parameters<TaskCheckpoints['triggered']>[1]): void {
    this.history.triggered(checkpoint, cut, this.#deps.clock.now())
    this.history.tasks.triggered(checkpoint.epoch, slices)
    this.#deps.publish('weir:checkpoint:triggered', { epoch: checkpoint.epoch })
  }

  gaveUp({ checkpoint, reason, detail, waitingFor, afterMs }: EffectOf<'give-up'>): void {
    const { epoch } = checkpoint
    const why = reason === 'timeout' ? `${detail} from subtasks ${listed(waitingFor)}` : detail
    this.history.note(epoch, { status: 'given-up', durationMs: afterMs, reason: `${reason}: ${why}` })
    if (reason !== 'suspended') this.alerts.raise('CHECKPOINTS_GIVEN_UP', `epoch ${epoch}: ${reason}, ${why}`)
    this.#deps.publish('weir:checkpoint:given-up', { epoch, reason, detail, waitingFor })
  }

  published({ ref, durationMs }: EffectOf<'published'>, manifest: Manifest | null): void {
    const { epoch } = ref
    this.alerts.calm('CHECKPOINTS_GIVEN_UP')
    this.history.note(epoch, { status: 'published', durationMs })
    this.history.cut(epoch, manifest)
    const entry = this.history.stored(epoch, manifest)
    this.#deps.publish('weir:checkpoint:published', {
      epoch,
      durationMs,
      ...(entry && { bytes: entry.bytes, alignMs: entry.alignMs }),
      ...(manifest?.cut && { cut: manifest.cut }),
    })
  }

  final({ epoch, durationMs }: EffectOf<'final'>): void {
    this.history.note(epoch, { status: 'final', durationMs })
    this.#deps.publish('weir:checkpoint:final', { epoch, durationMs })
  }

  circuit({ breaker, pauseMs }: EffectOf<'circuit'>): void {
    const { phase, failures } = breaker
    this.#deps.publish('weir:checkpoint:circuit', { state: phase, failures, pauseMs })
    if (phase === 'closed') return this.alerts.calm('CHECKPOINTS_FAILING')
    const next = phase === 'open' ? `the next one comes ${pauseMs} ms after the job runs again` : 'one is being tried'
    this.alerts.raise('CHECKPOINTS_FAILING', `${failures} checkpoints in a row were given up; ${next}`)
  }

  happened(effect: EffectOf<'restarted' | 'region-failed' | 'region-restarted' | 'healed' | 'rescaled'>): void {
    const { publish } = this.#deps
    const { type, ...message } = effect
    switch (type) {
      case 'restarted':
        return publish('weir:job:restarted', message)
      case 'region-failed':
        return publish('weir:job:region-failed', message)
      case 'region-restarted':
        return publish('weir:job:region-restarted', message)
      case 'healed':
        return publish('weir:sink:healed', message)
      case 'rescaled':
        this.alerts.calm('RESCALE_REVERTED')
        return publish('weir:job:rescaled', message)
    }
  }

  #gap({ source, gap }: Extract<UntimedEvent, { type: 'source-gap' }>): void {
    if (!this.gaps.add(source, gap)) return
    this.alerts.raise('SOURCE_GAP', `source "${source}": ${gapText(gap)}`)
    this.#deps.publish('weir:source:gap', { source, text: gapText(gap), ...gap })
  }

  #late({ epoch }: CheckpointId, late: LateSlice): void {
    this.history.tasks.late(epoch, late)
    const entry = this.history.late(epoch, late)
    if (entry === null) return
    const text = givenUpText(epoch, entry.durationMs ?? 0, late)
    this.#deps.publish('weir:checkpoint:late', { epoch, subtask: late.subtask, text })
    const isNewest = this.alerts.message('CHECKPOINTS_GIVEN_UP')?.startsWith(`epoch ${epoch}: `)
    if (isNewest)
      this.alerts.raise(
        'CHECKPOINTS_GIVEN_UP',
        `epoch ${epoch}: ${entry.reason}; ${entry.late.map(lateText).join('; ')}`,
      )
  }
}
