/**
 * What a job's driver does, as traces: a start (of the job, of a region) and each checkpoint is one. Slices go on with them: their
 * commands carry a `traceparent`. For people; nothing is decided by it, and without a tracer it costs a look at a field.
 *
 * ```
 * weir.start        place ─▶ deploy ─▶ recover ─▶ run                     (under deploy, recover: slice.deploy, slice.recover)
 * weir.checkpoint   snapshots ─▶ manifest ─▶ publish ─▶ commit            (under snapshots: slice.align, slice.snapshot, slice.upload;
 *                                                                          under commit: slice.commit)
 * ```
 */
import type { Epoch, JobId } from '@weir/model'
import type { SliceCommand } from './ports.ts'
import type { JobEffect } from './state.ts'

export interface JobSpan {
  /** Null: not sampled. */
  readonly traceparent: string | null
  end(failure?: string): void
  /** What is logged meanwhile names it. */
  within<T>(call: () => T): T
}

/** Never throws. */
export interface JobTracer {
  begin(name: string, parent: string | null, facts: Readonly<Record<string, string | number>>): JobSpan
}

/** One trace: stages one after the other under a root. */
class Trace {
  readonly #tracer: JobTracer
  readonly #root: JobSpan
  #stage: { readonly name: string; readonly span: JobSpan } | null = null

  constructor(tracer: JobTracer, name: string, facts: Readonly<Record<string, string | number>>) {
    this.#tracer = tracer
    this.#root = tracer.begin(name, null, facts)
  }

  /** Of what is done now. */
  get span(): JobSpan {
    return this.#stage?.span ?? this.#root
  }

  stage(name: string): void {
    if (this.#stage?.name === name) return
    this.#stage?.span.end()
    // What is not sampled has no children that are.
    this.#stage = this.#root.traceparent === null ? null : { name, span: this.#begin(name) }
  }

  end(failure?: string): void {
    this.#stage?.span.end(failure)
    this.#root.end(failure)
  }

  #begin(name: string): JobSpan {
    return this.#tracer.begin(name, this.#root.traceparent, {})
  }
}

export class JobTraces {
  readonly #jobId: JobId
  readonly #tracer: JobTracer | null
  #start: Trace | null = null
  /** In flight, and published but not final: two at most. */
  readonly #checkpoints = new Map<Epoch, Trace>()

  constructor(jobId: JobId, tracer: JobTracer | null) {
    this.#jobId = jobId
    this.#tracer = tracer
  }

  /** Performs an effect inside of the span it belongs to. */
  within(effect: JobEffect, perform: () => void): void {
    if (this.#tracer === null) return perform()
    const trace = this.#before(this.#tracer, effect)
    if (trace === null) perform()
    else trace.span.within(perform)
    this.#after(effect)
  }

  /** All slices run. */
  running(): void {
    this.#start?.end()
    this.#start = null
  }

  /** As it is sent. */
  carried(command: SliceCommand): SliceCommand {
    const trace = this.#tracer === null ? null : this.#of(command)
    const traceparent = trace?.span.traceparent ?? null
    return traceparent === null ? command : { ...command, traceparent }
  }

  /** Nothing more is heard of what is open. */
  close(failure: string): void {
    this.#start?.end(failure)
    this.#start = null
    for (const trace of this.#checkpoints.values()) trace.end(failure)
    this.#checkpoints.clear()
  }

  #of(command: SliceCommand): Trace | null {
    switch (command.type) {
      case 'deploy':
      case 'recover':
      case 'run':
        return this.#start
      case 'trigger':
        return this.#checkpoints.get(command.checkpoint.epoch) ?? null
      case 'commit':
        return this.#checkpoints.get(command.epoch) ?? null
      default:
        return null
    }
  }

  #before(tracer: JobTracer, effect: JobEffect): Trace | null {
    const job = this.#jobId
    switch (effect.type) {
      case 'request-slots':
      case 'replace-slots':
        this.#start ??= new Trace(tracer, 'weir.start', {
          job,
          ...(effect.type === 'replace-slots' && { region: effect.subtasks.join(',') }),
        })
        return this.#at(this.#start, 'place')
      case 'deploy':
      case 'recover':
      case 'run':
        return this.#at(this.#start, effect.type)
      case 'trigger': {
        const { epoch, generation, attempt } = effect.checkpoint
        const trace = new Trace(tracer, 'weir.checkpoint', { job, epoch, generation, attempt })
        this.#checkpoints.set(epoch, trace)
        return this.#at(trace, 'snapshots')
      }
      case 'write-manifest':
        return this.#at(this.#checkpoints.get(effect.checkpoint.epoch), 'manifest')
      case 'publish':
        return this.#at(this.#checkpoints.get(effect.checkpoint.epoch), 'publish')
      case 'published':
        return this.#checkpoints.get(effect.ref.epoch) ?? null
      case 'commit':
        return this.#at(this.#checkpoints.get(effect.permit.manifest.epoch), 'commit')
      case 'final':
        return this.#checkpoints.get(effect.epoch) ?? null
      case 'give-up':
        return this.#checkpoints.get(effect.checkpoint.epoch) ?? null
      default:
        return null
    }
  }

  #at(trace: Trace | null | undefined, stage: string): Trace | null {
    trace?.stage(stage)
    return trace ?? null
  }

  #after(effect: JobEffect): void {
    switch (effect.type) {
      case 'final':
        return this.#over(effect.epoch)
      case 'give-up':
        return this.#over(effect.checkpoint.epoch, `${effect.reason}: ${effect.detail}`)
      case 'region-restarted':
        return this.running()
      case 'stop':
        return this.close('the attempt has ended')
      case 'ended':
        return this.close('the job has ended')
      case 'step-down':
        return this.close(effect.reason)
    }
  }

  #over(epoch: Epoch, failure?: string): void {
    this.#checkpoints.get(epoch)?.end(failure)
    this.#checkpoints.delete(epoch)
  }
}
