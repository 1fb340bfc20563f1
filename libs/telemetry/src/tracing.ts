/**
 * Traces of what a fleet does to its jobs, by OTLP, where `OTEL_EXPORTER_OTLP_ENDPOINT` is set; nothing of OpenTelemetry is loaded
 * otherwise. Spans are made by hand: of a checkpoint, of a start. Between processes a context travels as `traceparent` in commands.
 */
import { WeirError } from '@weir/model'

export type SpanFacts = Readonly<Record<string, string | number>>

export interface OpenSpan {
  /** W3C, for whoever goes on with it; null: the trace is not sampled, nobody need. */
  readonly traceparent: string | null
  /** @param failure absent: it went well */
  end(failure?: string): void
  /** What is logged meanwhile has its ids. */
  within<T>(call: () => T): T
}

/** One that is over and was made elsewhere, ids and all. */
export interface ToldSpan {
  readonly name: string
  /** Hex. */
  readonly traceId: string
  readonly spanId: string
  /** Null: the trace begins with it. */
  readonly parentSpanId: string | null
  /** ms since 1970. */
  readonly fromMs: number
  readonly toMs: number
  readonly facts: SpanFacts
  /** Absent: it went well. */
  readonly failure?: string
  /** `traceparent` of another trace that has to do with it. */
  readonly link?: string
}

export interface Tracing {
  /** @param parent a `traceparent`; null: a new trace */
  begin(name: string, parent: string | null, facts: SpanFacts): OpenSpan
  /** One that is over. @param fromMs, toMs ms since 1970 */
  record(name: string, parent: string, facts: SpanFacts, fromMs: number, toMs: number, failure?: string): void
  /** Somebody has decided that it is sampled. */
  told(span: ToldSpan): void
  /** For logs: empty outside of a span. */
  ids(): { readonly trace_id?: string; readonly span_id?: string }
  /** What is open is lost, what has ended is sent: bounded. */
  close(): Promise<void>
}

/** Ended spans that wait to be sent; more are dropped. */
const SPANS_MAX = 8_192
const EXPORT_TIMEOUT_MS = 5_000
const SEND_EVERY_MS = 1_000

/**
 * Null: nobody asked for traces. The exporter takes the rest of OpenTelemetry's variables (headers, certificates, timeouts);
 * `OTEL_TRACES_SAMPLER_ARG` is the part of all traces that is taken, decided where one begins.
 * Throws `CONFIG_INVALID` (invalid). @param problem hears what could not be sent
 */
export async function openTracing(
  service: string,
  env: NodeJS.ProcessEnv,
  problem: (text: string) => void,
): Promise<Tracing | null> {
  if (!env['OTEL_EXPORTER_OTLP_ENDPOINT'] && !env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']) return null
  const ratio = ratioIn(env)
  const [api, sdk, { OTLPTraceExporter }, { resourceFromAttributes }, { AsyncLocalStorageContextManager }] =
    await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/sdk-trace'),
      import('@opentelemetry/exporter-trace-otlp-proto'),
      import('@opentelemetry/resources'),
      import('@opentelemetry/context-async-hooks'),
    ])
  const { context, diag, trace, DiagLogLevel, SpanKind, SpanStatusCode, TraceFlags } = api
  const silent = (): void => {}
  diag.setLogger(
    { error: problem, warn: problem, info: silent, debug: silent, verbose: silent },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  )
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  const sent = {
    resource: resourceFromAttributes({
      'service.name': env['OTEL_SERVICE_NAME'] || `weir-${service}`,
      'process.pid': process.pid,
    }),
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter: new OTLPTraceExporter(),
        maxQueueSize: SPANS_MAX,
        scheduledDelayMillis: SEND_EVERY_MS,
        exportTimeoutMillis: EXPORT_TIMEOUT_MS,
      }),
    ],
  }
  const provider = new sdk.TracerProvider({
    ...sent,
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(ratio) }),
  })
  const tracer = provider.getTracer('weir')
  /** Of the span that is made next. */
  let ids = { traceId: '', spanId: '' }
  const teller = new sdk.TracerProvider({
    ...sent,
    sampler: new sdk.AlwaysOnSampler(),
    idGenerator: { generateTraceId: () => ids.traceId, generateSpanId: () => ids.spanId },
  }).getTracer('weir')

  const under = (parent: string | null) => {
    const of = parent === null ? null : parsed(parent)
    return of === null ? api.ROOT_CONTEXT : trace.setSpanContext(api.ROOT_CONTEXT, { ...of, isRemote: true })
  }
  return {
    begin(name, parent, facts) {
      const within = under(parent)
      const span = tracer.startSpan(name, { kind: SpanKind.INTERNAL, attributes: facts }, within)
      const { traceId, spanId, traceFlags } = span.spanContext()
      const isSampled = (traceFlags & TraceFlags.SAMPLED) !== 0
      return {
        traceparent: isSampled ? `00-${traceId}-${spanId}-01` : null,
        end(failure) {
          if (failure !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: failure })
          span.end()
        },
        within: (call) => context.with(trace.setSpan(within, span), call),
      }
    },
    record(name, parent, facts, fromMs, toMs, failure) {
      const span = tracer.startSpan(name, { startTime: fromMs, attributes: facts }, under(parent))
      if (failure !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: failure })
      span.end(toMs)
    },
    told({ name, traceId, spanId, parentSpanId, fromMs, toMs, facts, failure, link }) {
      const parent = parentSpanId && { traceId, spanId: parentSpanId, traceFlags: TraceFlags.SAMPLED, isRemote: true }
      const within = parent ? trace.setSpanContext(api.ROOT_CONTEXT, parent) : api.ROOT_CONTEXT
      const of = link === undefined ? null : parsed(link)
      ids = { traceId, spanId }
      const span = teller.startSpan(
        name,
        { startTime: fromMs, attributes: facts, links: of === null ? [] : [{ context: of }] },
        within,
      )
      if (failure !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: failure })
      span.end(toMs)
    },
    ids() {
      const of = trace.getActiveSpan()?.spanContext()
      return of === undefined ? {} : { trace_id: of.traceId, span_id: of.spanId }
    },
    async close() {
      await provider.shutdown().catch((error: unknown) => problem(String(error)))
    },
  }
}

function ratioIn(env: NodeJS.ProcessEnv): number {
  const got = env['OTEL_TRACES_SAMPLER_ARG']
  const ratio = Number(got || 1)
  if (ratio >= 0 && ratio <= 1) return ratio
  throw new WeirError(
    { code: 'CONFIG_INVALID', kind: 'invalid', variable: 'OTEL_TRACES_SAMPLER_ARG', got },
    `OTEL_TRACES_SAMPLER_ARG=${got}: give the part of all traces to take, 0 … 1`,
  )
}

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/

/** Null: it is none, as one of a later version may be. */
function parsed(traceparent: string): { traceId: string; spanId: string; traceFlags: number } | null {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent) ?? []
  return flags === undefined ? null : { traceId: traceId!, spanId: spanId!, traceFlags: Number.parseInt(flags, 16) & 1 }
}
