/** Sources and sinks of the SDK, as a pipeline names them. */
import { datagen, http, kafka, log, ndjson, parquet, postgres, type Codec, type Sink, type Source } from '@weir/sdk'
import type { z } from 'zod'
import type { Sinks, Sources } from '../schema/connectors.ts'
import { besideHeaders, readerOf, writerOf, type BinaryFormats } from './formats.ts'
import { A_KEY, expression, ofValue, within, type Place } from './projection.ts'
import { CHANGE, PAYMENT, type DeclaredTypes } from './types.ts'
import { ANY, type ValueType } from './value-type.ts'

type SourceOptions = { readonly [K in keyof typeof Sources]: z.infer<(typeof Sources)[K]> }
type SinkOptions = { readonly [K in keyof typeof Sinks]: z.infer<(typeof Sinks)[K]> }

export interface Read {
  readonly source: Source<unknown>
  readonly type: ValueType
}

/** @param spec one connector with its options. Throws StepRefused, and what the SDK refuses. */
export function sourceOf(
  spec: Readonly<Record<string, unknown>>,
  place: Place,
  { types, formats }: { readonly types: DeclaredTypes; readonly formats: BinaryFormats },
): Read {
  const [connector] = Object.keys(spec) as [keyof SourceOptions]
  const at = within(place, connector)
  switch (connector) {
    case 'kafka':
    case 'log': {
      const { topic, value, format, headers, timestamp, ...options } = spec[connector] as SourceOptions['kafka']
      const named = typeNamed(value, at, types)
      const plain = { type: named, codec: readerOf(format, named, [...at.path, 'format'], formats) }
      const { type, codec } = headers === undefined ? plain : besideHeaders(plain.codec, named, headers)
      const server = connector === 'log' ? log : kafka
      return {
        type,
        source: server.topic(topic, { ...options, ...eventTime(timestamp, type, at), value: codec } as never),
      }
    }
    case 'ndjson': {
      const { folder, value, timestamp, ...options } = spec[connector] as SourceOptions['ndjson']
      const type = typeNamed(value, at, types)
      return {
        type,
        source: ndjson.folder(folder, {
          ...options,
          ...eventTime(timestamp, type, at),
          value: readerOf('json', type, at.path, formats),
        } as never),
      }
    }
    case 'datagen': {
      const { generator: _, ...options } = spec[connector] as SourceOptions['datagen']
      return { type: PAYMENT, source: datagen.payments(options) as Source<unknown> }
    }
    case 'postgres': {
      const { timestamp, ...options } = spec[connector] as SourceOptions['postgres']
      return {
        type: CHANGE,
        source: postgres.changes({ ...options, ...eventTime(timestamp, CHANGE, at) } as never) as Source<unknown>,
      }
    }
  }
}

function typeNamed(name: string, place: Place, types: DeclaredTypes): ValueType {
  return name === 'json' ? ANY : types.named(name, [...place.path, 'value'])
}

function eventTime(
  spec: string | number | boolean | undefined,
  type: ValueType,
  place: Place,
): { timestamp?: (value: unknown) => number } {
  if (spec === undefined) return {}
  const scope = { value: type, ...(place.scope['params'] && { params: place.scope['params'] }) }
  const compiled = expression(spec, within({ ...place, scope }, 'timestamp'), {
    kinds: ['int', 'double'],
    what: 'an event time is a number of ms since 1970',
  })
  return { timestamp: ofValue<number>(compiled, place.constants) }
}

/** @param place in whose scope the value is. Throws StepRefused, and what the SDK refuses. */
export function sinkOf(spec: Readonly<Record<string, unknown>>, place: Place, formats: BinaryFormats): Sink<unknown> {
  const [connector] = Object.keys(spec) as [keyof SinkOptions]
  switch (connector) {
    case 'kafka':
    case 'log': {
      const of = spec[connector] as SinkOptions['kafka']
      const { topic, keyOf, format, headers, ...options } = typeof of === 'string' ? { topic: of } : of
      const at = (option: string): Place => within(place, connector, option)
      return (connector === 'log' ? log : kafka).sink<unknown>(topic, {
        ...options,
        ...(keyOf !== undefined && { keyOf: keyIn(keyOf, at('keyOf')) }),
        ...(format !== undefined && { value: writerOf(format, at('format').path, formats) as Codec<unknown> }),
        ...(headers !== undefined && { headers: headersIn(headers, at('headers')) }),
      })
    }
    case 'ndjson': {
      const { folder, ...options } = spec[connector] as SinkOptions['ndjson']
      return ndjson.sink(folder, options)
    }
    case 'parquet': {
      const { folder, ...options } = spec[connector] as SinkOptions['parquet']
      return parquet.sink(folder, options)
    }
    case 'postgres': {
      const { table, ...options } = spec[connector] as SinkOptions['postgres']
      return postgres.sink(table, options)
    }
    case 'http': {
      const { url, ...options } = spec[connector] as SinkOptions['http']
      return http.sink(url, options)
    }
  }
}

type Headers = (value: unknown) => readonly (readonly [name: string, text: string])[]

function headersIn(specs: Readonly<Record<string, string | number | boolean>>, place: Place): Headers {
  const headers = Object.entries(specs).map(([name, spec]) => {
    const compiled = expression(spec, within(place, name), A_HEADER)
    return [name, ofValue<string | null>(compiled, place.constants)] as const
  })
  return (value) =>
    headers.flatMap(([name, of]) => {
      const text = of(value)
      return text === null ? [] : [[name, text] as const]
    })
}
const A_HEADER = { kinds: ['string', 'enum', 'nullable'], what: 'a header is a text, or null' } as const

function keyIn(spec: string | number | boolean, place: Place): (value: unknown) => string {
  const compiled = expression(spec, place, A_KEY)
  return ofValue<string>(compiled, place.constants)
}
