import type { GraphNode, SinkNode, SourceNode } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import { expect, test } from 'vitest'
import { parsePipeline } from '../index.ts'

const HEAD = 'version: 1\nname: p\ntypes:\n  Order: { id: string, note: "string?" }\n'
const nodes = (steps: string): readonly GraphNode[] =>
  parsePipeline(`${HEAD}steps:\n${steps}`, 'p.yaml').job.graph.nodes
const source = (steps: string) => nodes(steps).find((node): node is SourceNode => node.kind === 'source')!
const sink = (steps: string) => nodes(steps).find((node): node is SinkNode => node.kind === 'sink')!

const AVRO = `{ type: record, name: R, fields: [{ name: id, type: string }, { name: note, type: ["null", int] }] }`
const codeOf = (run: () => unknown): unknown => {
  try {
    return run()
  } catch (error) {
    return error instanceof WeirError ? [error.code, error.message] : error
  }
}

test('an Avro record is checked against the type as well: a field of another type is said by name', () => {
  const { encode, decode } = source(`
  - from: { kafka: { topic: t, value: Order, format: { avro: ${AVRO} } } }
  - to: { kafka: out }`)
  const bytes = (value: unknown): Buffer => Buffer.from(encode!(value as never) as Uint8Array)
  const right = bytes({ id: 'a', note: null })
  expect({ ...(decode!(right, 0, right.length) as object) }).toEqual({ id: 'a', note: null })
  const wrong = bytes({ id: 'a', note: 5 })
  expect(codeOf(() => decode!(wrong, 0, wrong.length))).toEqual([
    'DECODE_FAILED',
    'the record cannot be decoded: note is 5, not string',
  ])
})

test('headers that are named stand beside the record, and are null where there are none', () => {
  const { decode } = source(`
  - from: { kafka: { topic: t, value: Order, headers: { region: x-region, trace: x-trace } } }
  - to: { kafka: out }`)
  const bytes = Buffer.from('{"id":"a"}')
  expect(decode!(bytes, 0, bytes.length, () => [['x-region', Buffer.from('eu')]])).toEqual({
    value: { id: 'a' },
    headers: { region: 'eu', trace: null },
  })
})

test('a sink writes the headers that are not null', () => {
  const { encodeHeaders } = sink(`
  - from: { kafka: { topic: t, value: Order } }
  - to: { kafka: { topic: out, headers: { x-id: value.id, x-note: value.note } } }`)
  const record = { key: null, timestamp: 0, origin: null }
  expect(encodeHeaders!({ id: 'a' }, record)).toEqual([['x-id', 'a']])
  expect(encodeHeaders!({ id: 'a', note: 'n' }, record)).toEqual([
    ['x-id', 'a'],
    ['x-note', 'n'],
  ])
})
