/** What a slice needs to trace sampled records, and what it tells of them. */

/** A part of the way of one sampled record, told when it is over. */
export interface RecordSpan {
  readonly name: 'record.read' | 'record.chain' | 'record.claim' | 'record.write' | 'record.commit'
  /** Hex, as in a `traceparent`. */
  readonly traceId: string
  readonly spanId: string
  /** Null: the trace begins here. */
  readonly parentSpanId: string | null
  /** ms since 1970, with fractions. */
  readonly fromMs: number
  readonly toMs: number
  readonly facts: Readonly<Record<string, string | number>>
  /** Absent: it went well. */
  readonly failure?: string
  /** `traceparent` of another trace that has to do with it: that of the checkpoint it was committed with. */
  readonly link?: string
}

export interface RecordTracePort {
  /** Part of all records that is sampled, 0 … 1. Those whose producer has sampled them always are. */
  readonly sampleRate: number
  /** 32 hex digits, the same for the same text: a record that is read again goes on with its trace. */
  traceId(of: string): string
  /** 16 hex digits, never the same twice. */
  spanId(): string
  /** Bounded by whoever takes them. Never throws. */
  ended(span: RecordSpan): void
}
