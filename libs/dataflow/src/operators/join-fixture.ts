/** Random streams for the joins, out of order and late, fed to a real operator that is opened again in the middle. */
import { WATERMARK_MAX, WATERMARK_MIN, type Watermark } from '@weir/model'
import fc from 'fast-check'
import { fireWholly } from '../firing.ts'
import type { ConnectNode } from '../graph.ts'
import { MemoryKeyedStates } from '../memory-state.ts'
import { ConnectOperator } from './connect.ts'
import { Catch, batchOf, contextOf, uid } from './fixture.ts'

export interface JoinRecord {
  readonly id: number
  readonly side: 'left' | 'right'
  readonly key: string
  readonly time: number
  /** Event time when it came. */
  readonly watermark: Watermark
}
/** What happens, in order: a record, event time going on by so much, or a restart. */
export type Step = { readonly record: Omit<JoinRecord, 'id' | 'watermark'> } | { readonly ms: number } | 'restart'

export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        record: fc.record({
          side: fc.constantFrom('left' as const, 'right' as const),
          key: fc.constantFrom('ada', 'bob'),
          time: fc.integer({ min: 0, max: 60 }),
        }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ ms: fc.integer({ min: 1, max: 15 }) }) },
    { weight: 1, arbitrary: fc.constant('restart' as const) },
  ),
  { maxLength: 60 },
)

/** One key, of which more records wait than a join walks through. */
export const hotSteps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 12,
      arbitrary: fc.record({
        record: fc.record({
          side: fc.constantFrom('left' as const, 'right' as const),
          key: fc.constant('ada'),
          time: fc.nat(300),
        }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ ms: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 1, arbitrary: fc.constant('restart' as const) },
  ),
  { minLength: 60, maxLength: 200 },
)

export interface Joined {
  /** In order: what came out, as the combining function made it, with its event time. */
  readonly out: readonly (readonly [key: string, value: unknown, time: number])[]
  readonly records: readonly JoinRecord[]
  readonly late: number
  readonly states: MemoryKeyedStates
}

/** Records are their ids. Ends with the end of the input. */
export function joined(node: Omit<ConnectNode, 'uid'>, of: readonly Step[]): Joined {
  const states = new MemoryKeyedStates()
  const counters = { lateRecords: 0 }
  const out = new Catch()
  const records: JoinRecord[] = []
  let watermark = WATERMARK_MIN
  const open = (): ConnectOperator => {
    const operator = new ConnectOperator({ uid, ...node })
    operator.open(contextOf({ state: states, watermark, counters, freeze: true, firingPartMax: 3 }))
    return operator
  }
  let operator = open()
  const advance = (to: Watermark): void => {
    operator.onWatermark(to, out)
    fireWholly([{ firing: operator.firing, out }])
  }
  for (const step of of) {
    if (step === 'restart') operator = open()
    else if ('ms' in step) {
      watermark = Math.max(watermark, 0) + step.ms
      advance(watermark)
    } else {
      const record = { ...step.record, id: records.length, watermark }
      records.push(record)
      const batch = batchOf([record.key, record.id, record.time])
      if (record.side === 'left') operator.onBatch(batch, out)
      else operator.onRight(batch, out)
    }
  }
  advance(WATERMARK_MAX)
  operator.onEnd()
  const rows = out.seen.filter((seen) => typeof seen !== 'string') as unknown as Joined['out']
  return { out: rows, records, late: counters.lateRecords, states }
}

/** Without an order: pairs of one moment come as their records did. */
export const sorted = (rows: readonly unknown[]): unknown[] => rows.map((row) => JSON.stringify(row)).sort()
