/**
 * Traces of sampled records in one slice. A record's context travels in its batch (`Origins.traces`), and each part of its way replaces
 * it, so a trace is a chain of spans over slices and threads:
 *
 * ```
 *   record.read ─▶ record.chain ──(exchange)──▶ record.chain ─▶ record.claim ─▶ record.write ─▶ record.commit
 *   source          operators of a stage         of the next     outside of state  of a sink       link: the checkpoint's trace
 * ```
 *
 * Nothing is decided by it. In a job that is not traced it is not there; in one that is, a batch without a sampled record costs a look
 * at one field, and a poll a draw per run of offsets (`sampled-offsets.ts`), and the headers, where records have some.
 */
import { traceOf, type ClaimAnswer, type SourceBatch } from '@weir/dataflow'
import type { OperatorUid, RecordBatch } from '@weir/model'
import type { RecordSpan } from './record-span.ts'
import { sampledIn } from './sampled-offsets.ts'
import type { SliceScope } from './slice-scope.ts'
import type { SourceRun, StageRun } from './stage-run.ts'

/** Sampled by one slice; more are not, whatever the rate is and their producers say: a trace is for looking at. */
const SAMPLED_PER_SECOND_MAX = 100
/** Written and not committed yet, of one slice; the commit of later ones is not told. */
const WRITTEN_MAX = 1_024

type Facts = RecordSpan['facts']

/** A span that is not over. */
interface Begun {
  readonly name: RecordSpan['name']
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | null
  readonly fromMs: number
  /** Monotonic. */
  readonly beganMs: number
  readonly facts: Facts
}

/** Spans of the sampled records of one batch. */
export type Passing = readonly Begun[]

interface Written {
  readonly span: Begun
  readonly stage: number
  /** Null: its barrier has not come yet. */
  sealedAt: number | null
}

/** Records of a poll. */
export interface Sampled {
  /** By index, what each goes on with. */
  readonly contexts: ReadonlyMap<number, string>
  /** Open until they are decoded. */
  readonly reading: Passing
}

/** Position of the flags in a `traceparent`, by its second digit. */
const FLAGS_AT = 54
const isSampled = (context: string): boolean => (Number.parseInt(context.charAt(FLAGS_AT), 16) & 1) === 1

export class RecordTraces {
  readonly #scope: SliceScope
  /** A record of so many is sampled. */
  readonly #every: number
  readonly #common: Facts
  readonly #operators = new Map<number, string>()
  #written: Written[] = []
  #second = 0
  #inSecond = 0

  constructor(scope: SliceScope) {
    const { jobId, attempt, subtask } = scope.options
    this.#scope = scope
    this.#every = Math.round(1 / this.#port.sampleRate)
    this.#common = { job: jobId, attempt: attempt.attempt, subtask }
  }

  /** Of what was polled, those that are sampled. Null: none is. */
  read({ node }: SourceRun, polled: SourceBatch): Sampled | null {
    const raw = polled.kind === 'raw' ? polled.raw : null
    const { offsets } = polled.kind === 'raw' ? polled.raw : polled
    const count = raw === null ? offsets.length : raw.count
    const contexts = new Map<number, string>()
    const reading: Begun[] = []
    const take = (index: number, parent: string | null): void => {
      if (this.#isOverRate()) return
      const offset = offsets[index]!
      const { topic } = node.descriptor
      const writtenMs = raw === null ? 0 : raw.timestamps[index]!
      const facts: Facts = {
        ...{ source: node.uid, partition: polled.split, offset },
        ...(typeof topic === 'string' && { topic }),
        ...(writtenMs > 0 && { lagMs: this.#nowMs - writtenMs }),
      }
      const origin = `${this.#common['job']}/${node.uid}/${polled.split}/${offset}`
      const span = this.#begin('record.read', facts, parent, origin)
      reading.push(span)
      contexts.set(index, contextOf(span, parent))
    }
    const drawn = sampledIn(offsets, count, this.#every)
    if (raw?.headers === undefined) for (const index of drawn) take(index, null)
    else {
      let next = 0
      for (let i = 0; i < count; i++) {
        const isDrawn = drawn[next] === i
        if (isDrawn) next++
        const parent = traceOf(raw.headers(raw, i))
        // Whoever has begun a trace has decided about it.
        if (parent === null ? isDrawn : isSampled(parent)) take(i, parent)
      }
    }
    return reading.length === 0 ? null : { contexts, reading }
  }

  /** A batch comes to the operators of a stage. Null: nothing in it is sampled. */
  enter({ stage }: StageRun, batch: RecordBatch): Passing | null {
    return this.#passing('record.chain', batch, () => ({
      stage: stage.index,
      operators: this.#operatorsOf(stage.index),
    }))
  }

  /** Calls what they pass; its failure is theirs. */
  through(passing: Passing, call: () => void): void {
    try {
      call()
    } catch (error) {
      this.left(passing, error instanceof Error ? error.message : String(error))
      throw error
    }
    this.left(passing)
  }

  /** They are over. */
  left(passing: Passing, failure?: string): void {
    for (const span of passing) this.#end(span, {}, failure)
  }

  claiming(operator: OperatorUid, batch: RecordBatch): ((answers: readonly ClaimAnswer[]) => void) | null {
    const { traces } = batch.origins ?? {}
    if (traces === undefined) return null
    const sampled = [...traces.keys()].filter((i) => traces[i] && isSampled(traces[i]))
    const passing = this.#passing('record.claim', batch, () => ({ operator }))
    if (passing === null) return null
    return (answers) => {
      for (const [n, span] of passing.entries()) this.#end(span, { outcome: answers[sampled[n]!]!.outcome })
    }
  }

  /** A batch is about to be handed to a sink: its outputs are written with the contexts of these. */
  writing(sink: OperatorUid, batch: RecordBatch): Passing | null {
    return this.#passing('record.write', batch, () => ({ sink, records: batch.values.length }))
  }

  /** @param taken absent: the sink had room. Its failure ends the attempt, and is told there. */
  written({ stage }: StageRun, passing: Passing, taken: Promise<void> | undefined): void {
    for (const { traceId, spanId, facts } of passing) {
      if (this.#written.length >= WRITTEN_MAX) break
      const parent = { traceId, parentSpanId: spanId }
      const span = { name: 'record.commit', spanId: this.#port.spanId(), ...parent, ...this.#now(), facts } as const
      this.#written.push({ span, stage: stage.index, sealedAt: null })
    }
    if (taken === undefined) return this.left(passing)
    taken.then(
      () => this.left(passing),
      (error: unknown) => this.left(passing, error instanceof Error ? error.message : String(error)),
    )
  }

  /** What the sinks of a stage were handed so far belongs to `at`: an epoch, or the sequence of a transaction. They grow. */
  seal(stage: number, at: number): void {
    for (const of of this.#written) if (of.stage === stage) of.sealedAt ??= at
  }

  /**
   * Everything up to `at` is; also of epochs that were given up: what they had prepared travels on.
   * @param link that commit's `traceparent`
   */
  committed(unit: 'epoch' | 'transaction', at: number, link?: string): void {
    if (this.#written.length === 0) return
    const open = this.#written
    this.#written = []
    for (const of of open) {
      if (of.sealedAt === null || of.sealedAt > at) this.#written.push(of)
      else this.#end(of.span, { [unit]: at }, undefined, link)
    }
  }

  /** The attempt is over: what is not known to be committed is read again, or committed by the recovery. */
  close(): void {
    for (const { span } of this.#written) this.#end(span, {}, 'the attempt has ended before the commit was known here')
    this.#written = []
  }

  get #port(): NonNullable<SliceScope['deps']['traces']> {
    return this.#scope.deps.traces!
  }

  get #nowMs(): number {
    return this.#scope.deps.clock.now()
  }

  #now(): Pick<Begun, 'fromMs' | 'beganMs'> {
    return { fromMs: this.#nowMs, beganMs: this.#scope.deps.clock.monotonic() }
  }

  #operatorsOf(stage: number): string {
    const known = this.#operators.get(stage)
    if (known !== undefined) return known
    const { nodes } = this.#scope.options.plan.stages[stage]!
    const uids = nodes.map((index) => this.#scope.node(index).uid).join(' ')
    this.#operators.set(stage, uids)
    return uids
  }

  #isOverRate(): boolean {
    const second = Math.floor(this.#scope.deps.clock.monotonic() / 1_000)
    if (second !== this.#second) [this.#second, this.#inSecond] = [second, 0]
    return ++this.#inSecond > SAMPLED_PER_SECOND_MAX
  }

  /** Begins a span for each sampled record, and puts its context into the batch, which is ours to change. */
  #passing(name: RecordSpan['name'], { origins }: RecordBatch, factsOf: () => Facts): Passing | null {
    const traces = origins?.traces
    if (traces === undefined) return null
    let facts: Facts | null = null
    const spans: Begun[] = []
    for (let i = 0; i < traces.length; i++) {
      const context = traces[i]
      if (!context || !isSampled(context)) continue
      const span = this.#begin(name, (facts ??= factsOf()), context, '')
      traces[i] = contextOf(span, context)
      spans.push(span)
    }
    return spans.length === 0 ? null : spans
  }

  /** @param origin what its trace id is made of, where it has no parent */
  #begin(name: RecordSpan['name'], facts: Facts, parent: string | null, origin: string): Begun {
    const [traceId, parentSpanId] =
      parent === null ? [this.#port.traceId(origin), null] : [parent.slice(3, 35), parent.slice(36, 52)]
    return { name, traceId, spanId: this.#port.spanId(), parentSpanId, ...this.#now(), facts }
  }

  #end({ beganMs, ...span }: Begun, more: Facts = {}, failure?: string, link?: string): void {
    const toMs = span.fromMs + (this.#scope.deps.clock.monotonic() - beganMs)
    this.#port.ended({
      ...span,
      ...{ toMs, facts: { ...this.#common, ...span.facts, ...more } },
      ...(failure !== undefined && { failure }),
      ...(link !== undefined && { link }),
    })
  }
}

/** W3C, sampled; the state of the trace goes on behind it. */
function contextOf({ traceId, spanId }: Begun, parent: string | null): string {
  const space = parent === null ? -1 : parent.indexOf(' ')
  return `00-${traceId}-${spanId}-01${space < 0 ? '' : parent!.slice(space)}`
}
