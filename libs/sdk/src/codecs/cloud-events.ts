/**
 * CloudEvents 1.0 by the Kafka protocol binding: `binary` (attributes in headers `ce_…`, the data is the record's value) and
 * `structured` (one JSON object, `content-type: application/cloudevents+json`). Either is read, whatever is written.
 *
 *     kafka.topic('orders', { value: cloudEvents(json(Order)) })                                          CloudEvent<Order>
 *     kafka.sink('paid', { value: cloudEvents(json(), { source: '/shop/settlement', type: 'shop.paid' }) })
 *
 * An event without an id is given one by where its input was read: `<sink>:<topic>-<partition>-<offset>`, and behind a flatMap
 * which of the outputs it is. A replay makes the same ids, so that a consumer can tell a repeated event by source and id. What
 * the job has made of many records (a window's result, a timer's) has no such place: give `id` there.
 */
import type { OpenEncoder, OutputRecord, SinkHeader } from '@weir/dataflow'
import type { RecordHeader } from '@weir/model'
import { decodeFailed, decoding, encodeFailed, partsOf, wrapped, type Codec } from './codec.ts'

/** Attributes beside these are extensions. */
export interface CloudEvent<T> {
  readonly specversion: '1.0'
  readonly id: string
  /** URI reference. With `id` it names the event. */
  readonly source: string
  readonly type: string
  readonly datacontenttype?: string
  readonly dataschema?: string
  readonly subject?: string
  /** RFC 3339. */
  readonly time?: string
  /** Null: the event has none. */
  readonly data: T | null
  readonly [extension: string]: unknown
}

/** What is written: attributes that are left out are those of the codec's options. */
export interface CloudEventInit<T> {
  readonly id?: string
  readonly source?: string
  readonly type?: string
  readonly data: T | null
  readonly [attribute: string]: unknown
}

export interface CloudEventsOptions<W> {
  /** Default `binary`. Of what is written. */
  readonly mode?: 'binary' | 'structured'
  /** Of events that have none. */
  readonly source?: string
  readonly type?: string
  /** Of events that have none; the same for the same input, or consumers take a replayed event for another one. */
  readonly id?: (event: CloudEventInit<W>, record: OutputRecord) => string
}

const JSON_EVENT = 'application/cloudevents+json'
const PREFIX = 'ce_'
/** The Kafka binding names this attribute's header otherwise. */
const CONTENT_TYPE = 'content-type'
const NAME = /^[a-z0-9]+$/
const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/

type Attributes = Record<string, unknown>

/**
 * `codec` reads and writes the data. Reading throws `DECODE_FAILED` (invalid) for what is no event, or lacks a required
 * attribute; writing throws `ENCODE_FAILED` (invalid) likewise. `time` is the event time of the record unless the event has one.
 */
export function cloudEvents<T, W = T>(
  codec: Codec<T, W>,
  options: CloudEventsOptions<W> = {},
): Codec<CloudEvent<T>, CloudEventInit<W>> {
  const { mode = 'binary' } = options
  const attributesOf = (event: CloudEventInit<W>, record: OutputRecord | undefined, idOf: IdOf<W>): Attributes => {
    const { data: _data, ...given } = event
    const of = {
      specversion: '1.0',
      ...(options.source !== undefined && { source: options.source }),
      ...(options.type !== undefined && { type: options.type }),
      ...(codec.contentType !== undefined && event.data !== null && { datacontenttype: codec.contentType }),
      ...(record !== undefined && { time: new Date(record.timestamp).toISOString() }),
      ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    } as Attributes
    of['id'] ??= idOf(event, record)
    const wrong = wrongIn(of)
    if (wrong !== null)
      throw encodeFailed('a CloudEvent', wrong, 'Give it with the event, or in the options of the codec.')
    return of
  }
  const encoderOf = (inner: OpenEncoder, idOf: IdOf<W>): OpenEncoder => ({
    encode(event, record) {
      const of = checked<W>(event)
      if (mode === 'binary') return of.data === null ? null : inner.encode(of.data, record)
      return structured(attributesOf(of, record, idOf), of.data === null ? null : inner.encode(of.data, record))
    },
    headers(event, record) {
      const of = checked<W>(event)
      const own = inner.headers?.(of.data, record) ?? []
      if (mode === 'structured') return [[CONTENT_TYPE, JSON_EVENT], ...own]
      return [...headersOf(attributesOf(of, record, idOf)), ...own]
    },
  })
  const chosen = options.id
  const without: IdOf<W> = (event, record) => (chosen && record ? chosen(event, record) : undefined)
  return {
    ...wrapped<CloudEvent<T>, CloudEventInit<W>>(codec, {
      decoder: (inner) => (buffer, start, end, headers) => {
        const all = headers?.() ?? []
        const contentType = textOf(all, CONTENT_TYPE)
        if (contentType?.toLowerCase().startsWith('application/cloudevents')) {
          return readStructured(contentType, buffer.subarray(start, end), (bytes) =>
            inner(bytes, 0, bytes.length, headers),
          )
        }
        return { ...readAttributes(all), data: inner(buffer, start, end, headers) }
      },
      encoder: (inner) => encoderOf(inner, without),
    }),
    contentType: mode === 'structured' ? JSON_EVENT : codec.contentType,
    origins: true,
    openEncoder: async (context) => {
      const inner = codec.openEncoder ? await codec.openEncoder(context) : partsOf(codec)
      return encoderOf(inner, (event, record) => {
        if (chosen && record) return chosen(event, record)
        const origin = record?.origin ?? null
        if (origin === null) return undefined
        const { place, offset, ordinal } = origin
        return `${context.operatorUid}:${context.placeName(place)}-${offset}${ordinal === null ? '' : `.${ordinal}`}`
      })
    },
  }
}

type IdOf<W> = (event: CloudEventInit<W>, record: OutputRecord | undefined) => string | undefined

function checked<W>(event: unknown): CloudEventInit<W> {
  if (typeof event === 'object' && event !== null && 'data' in event) return event as CloudEventInit<W>
  throw encodeFailed(
    'a CloudEvent',
    'it has no data',
    'Map values to { type, data, … } before the sink; data may be null.',
  )
}

// ---- attributes -----------------------------------------------------------------------------------------------------

/** Null: they are those of an event. */
function wrongIn(attributes: Attributes): string | null {
  if (attributes['specversion'] !== '1.0') return 'its specversion is not "1.0"'
  for (const name of ['id', 'source', 'type']) {
    const value = attributes[name]
    if (typeof value !== 'string' || value === '') {
      const made = name === 'id' ? '; it was made of no single record, so none could be given' : ''
      return `its ${name} is ${value === '' ? 'empty' : (value ?? undefined) === undefined ? `missing${made}` : 'no string'}`
    }
  }
  const { time } = attributes
  if (time !== undefined && !(typeof time === 'string' && RFC3339.test(time) && !Number.isNaN(Date.parse(time)))) {
    return 'its time is no RFC 3339 date with a time zone'
  }
  for (const [name, value] of Object.entries(attributes)) {
    if (!NAME.test(name) || name === 'data') return `${JSON.stringify(name)} is no name of an attribute (a-z, 0-9)`
    if (typeof value === 'string' ? !value.isWellFormed() : typeof value !== 'boolean' && !Number.isInteger(value)) {
      return `its ${name} is ${value === null ? 'null' : typeof value}; an attribute is a string, boolean or integer`
    }
  }
  return null
}

function headersOf({ datacontenttype, ...attributes }: Attributes): SinkHeader[] {
  const headers = Object.entries(attributes).map(([name, value]): SinkHeader => [PREFIX + name, String(value)])
  return datacontenttype === undefined ? headers : [...headers, [CONTENT_TYPE, String(datacontenttype)]]
}

/** Last one of a name, as UTF-8. */
function textOf(headers: readonly RecordHeader[], name: string): string | undefined {
  const value = headers.findLast(([of]) => of.toLowerCase() === name)?.[1]
  return value ? Buffer.from(value).toString() : undefined
}

function readAttributes(headers: readonly RecordHeader[]): Attributes {
  const attributes: Attributes = {}
  for (const [name, value] of headers) {
    if (name.startsWith(PREFIX) && value !== null) attributes[name.slice(PREFIX.length)] = Buffer.from(value).toString()
  }
  if (attributes['specversion'] === undefined) {
    throw decodeFailed(
      'it is no CloudEvent: it has neither a header ce_specversion nor a content-type of application/cloudevents+json',
    )
  }
  const contentType = textOf(headers, CONTENT_TYPE)
  if (contentType !== undefined) attributes['datacontenttype'] = contentType
  return asRead(attributes)
}

function asRead(attributes: Attributes): Attributes {
  const wrong = wrongIn(attributes)
  if (wrong !== null) throw decodeFailed(`it is no CloudEvent: ${wrong}`)
  return attributes
}

// ---- structured -----------------------------------------------------------------------------------------------------

function structured(attributes: Attributes, data: string | Uint8Array | null): string {
  const event = JSON.stringify(attributes)
  if (data === null) return event
  const member =
    typeof data === 'string'
      ? `"data":${data}`
      : `"data_base64":${JSON.stringify(Buffer.from(data).toString('base64'))}`
  return `${event.slice(0, -1)},${member}}`
}

function readStructured(contentType: string, bytes: Buffer, read: (bytes: Buffer) => unknown): unknown {
  if (!/^application\/cloudevents\+json\s*(;|$)/i.test(contentType)) {
    throw decodeFailed(
      `it is a CloudEvent as ${contentType}; only application/cloudevents+json is read, one event a record`,
    )
  }
  const event: unknown = decoding('JSON', () => JSON.parse(bytes.toString()))
  if (typeof event !== 'object' || event === null || Array.isArray(event))
    throw decodeFailed('it is no CloudEvent: no object')
  const { data, data_base64: base64, ...attributes } = event as Attributes
  const present = Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== null))
  asRead(present)
  if (base64 !== undefined && base64 !== null) {
    if (typeof base64 !== 'string') throw decodeFailed('it is no CloudEvent: its data_base64 is no string')
    return { ...present, data: read(Buffer.from(base64, 'base64')) }
  }
  return { ...present, data: data === undefined || data === null ? null : read(Buffer.from(JSON.stringify(data))) }
}
