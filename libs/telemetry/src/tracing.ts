/**
 * Traces of what a fleet does to its jobs, by OTLP, where `OTEL_EXPORTER_OTLP_ENDPOINT` is set; nothing of OpenTelemetry is loaded
 * otherwise. Spans are made by hand: of a checkpoint, of a start. Between processes a context travels as `traceparent` in commands.
 */
import { WeirError } from '@weir/model'
import type { Context, Span, Tracer } from '@opentelemetry/api'
import type { TracerProvider } from '@opentelemetry/sdk-trace'

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
  const packages = await load()
  const { api, ContextManager } = packages
  const silent = (): void => {}
  api.diag.setLogger(
    { error: problem, warn: problem, info: silent, debug: silent, verbose: silent },
    { logLevel: api.DiagLogLevel.WARN, suppressOverrideMessage: true },
  )
  api.context.setGlobalContextManager(new ContextManager().enable())
  const name = env['OTEL_SERVICE_NAME'] || `weir-${service}`
  return new HandMadeSpans(packages, { name, ratio, problem })
}

async function load() {
  const [api, sdk, exporter, resources, hooks] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-proto'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/context-async-hooks'),
  ])
  return {
    ...{ api, sdk, Exporter: exporter.OTLPTraceExporter },
    ...{ resourceOf: resources.resourceFromAttributes, ContextManager: hooks.AsyncLocalStorageContextManager },
  }
}
type Packages = Awaited<ReturnType<typeof load>>

class HandMadeSpans implements Tracing {
  readonly #api: Packages['api']
  readonly #provider: TracerProvider
  readonly #tracer: Tracer
  /** Makes those that were made elsewhere again. */
  readonly #teller: Tracer
  /** Of the span that the teller makes next. */
  #ids = { traceId: '', spanId: '' }
  readonly #problem: (text: string) => void

  constructor(
    { api, sdk, Exporter, resourceOf }: Packages,
    of: { readonly name: string; readonly ratio: number; readonly problem: (text: string) => void },
  ) {
    this.#api = api
    this.#problem = of.problem
    const sent = {
      resource: resourceOf({ 'service.name': of.name, 'process.pid': process.pid }),
      spanProcessors: [
        new sdk.BatchSpanProcessor({
          exporter: new Exporter(),
          maxQueueSize: SPANS_MAX,
          scheduledDelayMillis: SEND_EVERY_MS,
          exportTimeoutMillis: EXPORT_TIMEOUT_MS,
        }),
      ],
    }
    const sampler = new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(of.ratio) })
    this.#provider = new sdk.TracerProvider({ ...sent, sampler })
    this.#tracer = this.#provider.getTracer('weir')
    this.#teller = new sdk.TracerProvider({
      ...sent,
      sampler: new sdk.AlwaysOnSampler(),
      idGenerator: { generateTraceId: () => this.#ids.traceId, generateSpanId: () => this.#ids.spanId },
    }).getTracer('weir')
  }

  begin(name: string, parent: string | null, facts: SpanFacts): OpenSpan {
    const { context, trace, SpanKind, TraceFlags } = this.#api
    const within = this.#under(parent)
    const span = this.#tracer.startSpan(name, { kind: SpanKind.INTERNAL, attributes: facts }, within)
    const { traceId, spanId, traceFlags } = span.spanContext()
    const isSampled = (traceFlags & TraceFlags.SAMPLED) !== 0
    return {
      traceparent: isSampled ? `00-${traceId}-${spanId}-01` : null,
      end: (failure) => this.#end(span, failure),
      within: (call) => context.with(trace.setSpan(within, span), call),
    }
  }

  record(name: string, parent: string, facts: SpanFacts, fromMs: number, toMs: number, failure?: string): void {
    const span = this.#tracer.startSpan(name, { startTime: fromMs, attributes: facts }, this.#under(parent))
    this.#end(span, failure, toMs)
  }

  told({ name, traceId, spanId, parentSpanId, fromMs, toMs, facts, failure, link }: ToldSpan): void {
    const { trace, ROOT_CONTEXT, TraceFlags } = this.#api
    const parent = parentSpanId && { traceId, spanId: parentSpanId, traceFlags: TraceFlags.SAMPLED, isRemote: true }
    const within = parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT
    const of = link === undefined ? null : parsed(link)
    const links = of === null ? [] : [{ context: of }]
    this.#ids = { traceId, spanId }
    this.#end(this.#teller.startSpan(name, { startTime: fromMs, attributes: facts, links }, within), failure, toMs)
  }

  ids(): ReturnType<Tracing['ids']> {
    const of = this.#api.trace.getActiveSpan()?.spanContext()
    return of === undefined ? {} : { trace_id: of.traceId, span_id: of.spanId }
  }

  async close(): Promise<void> {
    await this.#provider.shutdown().catch((error: unknown) => this.#problem(String(error)))
  }

  #under(parent: string | null): Context {
    const { trace, ROOT_CONTEXT } = this.#api
    const of = parent === null ? null : parsed(parent)
    return of === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...of, isRemote: true })
  }

  /** @param toMs absent: now */
  #end(span: Span, failure: string | undefined, toMs?: number): void {
    if (failure !== undefined) span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message: failure })
    span.end(toMs)
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
