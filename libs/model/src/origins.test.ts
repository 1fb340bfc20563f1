import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  emptyOrigins,
  moveOrigin,
  originColumns,
  pushOrdinal,
  pushOrigin,
  sliceOrigins,
  truncateOrigins,
  type Origins,
} from './origins.ts'

interface Row {
  readonly place: number
  readonly offset: number
  readonly ordinal: string
  readonly trace: string | null
  readonly retry: string | null
}
const row = fc.record({
  place: fc.nat(),
  offset: fc.nat(),
  ordinal: fc.stringMatching(/^\d(\.\d)?$/),
  trace: fc.option(fc.string()),
  retry: fc.option(fc.string()),
})
interface Has {
  readonly ordinals: boolean
  readonly traces: boolean
  readonly retries: boolean
}
const originsOf = (rows: readonly Row[], { ordinals, traces, retries }: Has): Origins => ({
  places: rows.map((r) => r.place),
  offsets: rows.map((r) => r.offset),
  ordinals: ordinals ? rows.map((r) => r.ordinal) : null,
  ...(traces && { traces: rows.map((r) => r.trace) }),
  ...(retries && { retries: rows.map((r) => r.retry) }),
})

test('every column goes along, whichever there are', () => {
  fc.assert(
    fc.property(
      fc.array(row, { minLength: 1 }),
      fc.record({ ordinals: fc.boolean(), traces: fc.boolean(), retries: fc.boolean() }),
      fc.nat(),
      (rows, has, n) => {
        const { ordinals, traces, retries } = has
        const of = originsOf(rows, has)
        const at = n % rows.length
        expect(sliceOrigins(of, at)).toEqual(originsOf(rows.slice(at), has))
        const copy = emptyOrigins(of, ordinals)
        rows.forEach((_, i) => pushOrigin(copy, of, i))
        expect(copy).toEqual(of)
        moveOrigin(copy, rows.length - 1, at)
        truncateOrigins(copy, at + 1)
        expect(copy).toEqual(originsOf([...rows.slice(0, at), rows.at(-1)!], has))
        expect(originColumns(of)).toHaveLength(2 + Number(ordinals) + Number(traces) + Number(retries))
      },
    ),
  )
})

test('several records made of one are told apart by their ordinals, also by those of their outputs', () => {
  const of: Origins = { places: [1], offsets: [7], ordinals: null, traces: ['t'] }
  const first = emptyOrigins(of, true)
  for (const ordinal of [0, 1]) pushOrdinal(first, of, 0, ordinal)
  expect(first).toEqual({ places: [1, 1], offsets: [7, 7], ordinals: ['0', '1'], traces: ['t', 't'] })
  const second = emptyOrigins(first, true)
  pushOrdinal(second, first, 1, 0)
  expect(second).toEqual({ places: [1], offsets: [7], ordinals: ['1.0'], traces: ['t'] })
})
