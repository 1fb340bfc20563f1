/** Takes OTLP traces by HTTP, as protobuf: decoded here, or by a real collector that writes what it took into a file. */
import { createFileRegistry, fromBinary, type DescMessage } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface SpanSeen {
  readonly service: string
  readonly name: string
  /** Hex. */
  readonly traceId: string
  readonly spanId: string
  /** Empty: it is the root. */
  readonly parentSpanId: string
  readonly startMs: number
  readonly endMs: number
  readonly facts: Readonly<Record<string, string | number>>
  /** Ids of other traces it names. */
  readonly links: readonly string[]
  /** Null: it went well. */
  readonly failure: string | null
}

export interface Receiver {
  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly endpoint: string
  spans(): readonly SpanSeen[]
  close(): Promise<void>
}

export const startReceiver = (): Promise<Receiver> => {
  const program = process.env['WEIR_OTEL_COLLECTOR']
  return program ? collector(program) : decoder()
}

// ---- decoded here --------------------------------------------------------------------------------------------------------

type Id = Uint8Array | string
/** As both have it: fields of the protocol in camel case, 64 bits as bigint or decimal. */
interface Value {
  readonly value?: { readonly case?: string; readonly value?: unknown }
  readonly stringValue?: string
  readonly intValue?: string
}
interface Request {
  readonly resourceSpans: readonly {
    readonly resource?: { readonly attributes: readonly { readonly key: string; readonly value?: Value }[] }
    readonly scopeSpans: readonly {
      readonly spans: readonly {
        readonly name: string
        readonly traceId: Id
        readonly spanId: Id
        readonly parentSpanId?: Id
        readonly startTimeUnixNano: bigint | string
        readonly endTimeUnixNano: bigint | string
        readonly attributes?: readonly { readonly key: string; readonly value?: Value }[]
        readonly links?: readonly { readonly traceId: Id }[]
        readonly status?: { readonly code?: number; readonly message?: string }
      }[]
    }[]
  }[]
}

function requestSchema(): DescMessage {
  const buf = new URL('../../node_modules/.bin/buf', import.meta.url).pathname
  const protos = new URL('.', import.meta.url).pathname
  const bytes = execFileSync(buf, ['build', protos, '-o', '-#format=binpb'])
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes))
  return registry.getMessage('opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest')!
}

async function decoder(): Promise<Receiver> {
  const schema = requestSchema()
  const seen: SpanSeen[] = []
  const take = async (request: IncomingMessage): Promise<number> => {
    if (request.url !== '/v1/traces') return 404
    if (request.headers['content-type'] !== 'application/x-protobuf') return 415
    const parts: Buffer[] = []
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part)
    seen.push(...spansOf(fromBinary(schema, Buffer.concat(parts)) as unknown as Request))
    return 200
  }
  const server = createServer((request, response) => {
    take(request).then(
      (status) => response.writeHead(status, { 'content-type': 'application/x-protobuf' }).end(),
      () => response.writeHead(400).end(),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: () => seen,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function spansOf({ resourceSpans }: Request): SpanSeen[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = String(factsOf(resource?.attributes)['service.name'])
    return scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        ...{ service, name: span.name, traceId: hex(span.traceId), spanId: hex(span.spanId) },
        parentSpanId: span.parentSpanId === undefined ? '' : hex(span.parentSpanId),
        startMs: Number(BigInt(span.startTimeUnixNano) / 1_000n) / 1_000,
        endMs: Number(BigInt(span.endTimeUnixNano) / 1_000n) / 1_000,
        facts: factsOf(span.attributes),
        links: (span.links ?? []).map(({ traceId }) => hex(traceId)),
        failure: span.status?.code === 2 ? (span.status.message ?? '') : null,
      })),
    )
  })
}
const hex = (id: Id): string => (typeof id === 'string' ? id : Buffer.from(id).toString('hex'))

function factsOf(attributes: readonly { readonly key: string; readonly value?: Value }[] = []): SpanSeen['facts'] {
  const valueOf = ({ value, stringValue, intValue }: Value): string | number => {
    const of = value?.value ?? stringValue ?? Number(intValue)
    return typeof of === 'string' ? of : Number(of)
  }
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value === undefined ? '' : valueOf(value)]))
}

// ---- by a real collector -------------------------------------------------------------------------------------------------

async function freePort(): Promise<number> {
  const probe = net.createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

async function collector(program: string): Promise<Receiver> {
  const folder = await mkdtemp(join(tmpdir(), 'weir-otelcol-'))
  const endpoint = `127.0.0.1:${await freePort()}`
  const file = join(folder, 'spans.ndjson')
  const config = {
    receivers: { otlp: { protocols: { http: { endpoint } } } },
    exporters: { file: { path: file, flush_interval: '100ms' } },
    service: {
      telemetry: { metrics: { level: 'none' } },
      pipelines: { traces: { receivers: ['otlp'], exporters: ['file'] } },
    },
  }
  await writeFile(join(folder, 'config.yaml'), JSON.stringify(config))
  const child = spawn(program, ['--config', `file:${join(folder, 'config.yaml')}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  await new Promise<void>((resolve, reject) => {
    let said = ''
    child.stderr.on('data', (data: Buffer) => {
      said += data.toString()
      if (said.includes('Everything is ready')) resolve()
    })
    child.once('exit', (code) => reject(new Error(`the collector ended with ${code}: ${said.slice(-2_000)}`)))
    child.once('error', reject)
  })
  return {
    endpoint: `http://${endpoint}`,
    spans: () =>
      (existsSync(file) ? readFileSync(file, 'utf8') : '')
        .split('\n')
        .slice(0, -1) // the last line may be half written
        .flatMap((line) => spansOf(JSON.parse(line) as Request)),
    close: async () => {
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await gone
      await rm(folder, { recursive: true, force: true })
    },
  }
}
