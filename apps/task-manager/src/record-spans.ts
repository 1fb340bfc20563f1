/** Spans of sampled records on their way out of a slot: told to the process, where OpenTelemetry is, with the slice's progress. */
import type { RecordSpan, RecordTracePort } from '@weir/runtime'
import { systemRandom } from '@weir/runtime/system'
import { hash } from 'node:crypto'

/** To the process. */
export interface RecordSpansTold {
  readonly kind: 'record-spans'
  readonly spans: readonly RecordSpan[]
  /** Since the last time: for which there was no room. */
  readonly dropped: number
}

/** Between two tellings, which are 100 ms apart; more are dropped, and counted. */
const SPANS_WAITING_MAX = 1_024
const TRACE_ID_DIGITS = 32
const SPAN_ID_DIGITS = 16

export class RecordSpans implements RecordTracePort {
  readonly sampleRate: number
  #waiting: RecordSpan[] = []
  #dropped = 0

  constructor(sampleRate: number) {
    this.sampleRate = sampleRate
  }

  traceId(of: string): string {
    return hash('sha256', of, 'hex').slice(0, TRACE_ID_DIGITS)
  }

  spanId(): string {
    return systemRandom.nonce().slice(0, SPAN_ID_DIGITS)
  }

  ended(span: RecordSpan): void {
    if (this.#waiting.length < SPANS_WAITING_MAX) this.#waiting.push(span)
    else this.#dropped++
  }

  /** Null: nothing has happened since the last time. */
  take(): RecordSpansTold | null {
    if (this.#waiting.length === 0 && this.#dropped === 0) return null
    const told = { kind: 'record-spans', spans: this.#waiting, dropped: this.#dropped } as const
    this.#waiting = []
    this.#dropped = 0
    return told
  }
}
