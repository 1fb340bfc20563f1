/** What slices do for a command that carries a trace context, as spans under it. Made here, where commands and reports pass: slots know nothing of it. */
import type { OpenSpan, SpanFacts, Tracing } from '@weir/telemetry'
import type { SliceCommand, SliceId, SliceReportMessage } from '@weir/wire'

interface Triggered {
  readonly parent: string
  readonly atMs: number
}

/** Of one slice. */
interface Open {
  readonly spans: Map<'deploy' | 'recover' | 'commit', OpenSpan>
  /** By epoch: one in flight, and what was given up meanwhile. */
  readonly triggers: Map<number, Triggered>
}

const TRIGGERS_MAX = 4

const keyOf = ({ jobId, attempt, subtask }: SliceId): string =>
  `${jobId}/${attempt.generation}/${attempt.attempt}/${subtask}`
const factsOf = ({ jobId, attempt, subtask }: SliceId): SpanFacts => ({ job: jobId, attempt: attempt.attempt, subtask })

export class SliceTraces {
  readonly #tracing: Tracing | null
  readonly #nowMs: () => number
  readonly #open = new Map<string, Open>()

  /** @param tracing null: nothing is traced @param nowMs ms since 1970 */
  constructor(tracing: Tracing | null, nowMs: () => number) {
    this.#tracing = tracing
    this.#nowMs = nowMs
  }

  command(command: SliceCommand): void {
    if (this.#tracing === null) return
    const { slice } = command
    switch (command.type) {
      case 'deploy':
      case 'recover':
      case 'commit':
        if (command.traceparent !== undefined) this.#begin(slice, command.type, command.traceparent)
        return
      case 'trigger': {
        if (command.traceparent === undefined) return
        const { triggers } = this.#of(slice)
        if (triggers.size >= TRIGGERS_MAX) triggers.delete(triggers.keys().next().value!)
        triggers.set(command.checkpoint.epoch, { parent: command.traceparent, atMs: this.#nowMs() })
        return
      }
      case 'give-up':
        return this.#notTaken(slice, command.checkpoint.epoch, 'given up')
    }
  }

  report(report: SliceReportMessage): void {
    if (this.#tracing === null) return
    const { slice } = report
    switch (report.type) {
      case 'deployed':
        return this.#end(slice, 'deploy')
      case 'recovered':
        return this.#end(slice, 'recover')
      case 'committed':
        return this.#end(slice, 'commit')
      case 'ack':
        return this.#taken(report)
      case 'declined':
        return this.#notTaken(slice, report.checkpoint.epoch, report.failure.message)
      case 'failed':
        return this.#over(slice, report.failure.message)
      case 'stopped':
        return this.#over(slice, 'the slice was stopped')
    }
  }

  /** What is logged meanwhile names what the slice does. */
  within(slice: SliceId, call: () => void): void {
    const spans = this.#open.get(keyOf(slice))?.spans.values()
    const span = spans?.next().value
    if (span === undefined) call()
    else span.within(call)
  }

  #begin(slice: SliceId, what: 'deploy' | 'recover' | 'commit', parent: string): void {
    const { spans } = this.#of(slice)
    spans.get(what)?.end('another one came')
    spans.set(what, this.#tracing!.begin(`slice.${what}`, parent, factsOf(slice)))
  }

  #end(slice: SliceId, what: 'deploy' | 'recover' | 'commit'): void {
    const of = this.#open.get(keyOf(slice))
    of?.spans.get(what)?.end()
    of?.spans.delete(what)
  }

  /** The slice tells durations; its clock is this one's. */
  #taken({ slice, checkpoint, cutMs, syncMs, alignMs, asyncMs }: Extract<SliceReportMessage, { type: 'ack' }>): void {
    const triggered = this.#takeTrigger(slice, checkpoint.epoch)
    if (triggered === null || cutMs === undefined) return
    const facts = { ...factsOf(slice), epoch: checkpoint.epoch }
    const from = triggered.atMs
    const [cut, snapshot, over] = [from + cutMs, from + Math.max(0, cutMs - syncMs), from + Math.max(asyncMs, cutMs)]
    const record = (name: string, fromMs: number, toMs: number, more: SpanFacts = {}): void =>
      this.#tracing!.record(name, triggered.parent, { ...facts, ...more }, fromMs, toMs)
    record('slice.align', from, snapshot, { alignMs })
    record('slice.snapshot', snapshot, cut)
    record('slice.upload', cut, over)
  }

  #notTaken(slice: SliceId, epoch: number, why: string): void {
    const triggered = this.#takeTrigger(slice, epoch)
    if (triggered === null) return
    const facts = { ...factsOf(slice), epoch }
    this.#tracing!.record('slice.align', triggered.parent, facts, triggered.atMs, this.#nowMs(), why)
  }

  #takeTrigger(slice: SliceId, epoch: number): Triggered | null {
    const triggers = this.#open.get(keyOf(slice))?.triggers
    const triggered = triggers?.get(epoch) ?? null
    triggers?.delete(epoch)
    return triggered
  }

  #over(slice: SliceId, why: string): void {
    const key = keyOf(slice)
    for (const span of this.#open.get(key)?.spans.values() ?? []) span.end(why)
    this.#open.delete(key)
  }

  #of(slice: SliceId): Open {
    const key = keyOf(slice)
    let of = this.#open.get(key)
    if (of === undefined) this.#open.set(key, (of = { spans: new Map(), triggers: new Map() }))
    return of
  }
}
