/** The job a simulation runs, and what its output must be: numbered records, keyed sums. */
import { createHash } from 'node:crypto'
import { planJob, type JobDefinition, type JobSettings, type Plan } from '@weir/dataflow'
import { operatorUid } from '@weir/model'

export const IN = 'in'
export const OUT = 'out'
export const PARALLELISM = 2
export const KEYS = 5
/** Of event time, from record to record. */
const STEP_MS = 50

/**
 * `exchange`: a keyBy between source and sum, so the slices are one pipeline region. `regions`: the topic is partitioned by key
 * already, and each slice is a region of its own.
 */
export type Shape = 'exchange' | 'regions'

export interface Numbered {
  readonly id: number
  readonly key: string
}
/** The accumulator, written to the sink after every record: names the record, and all that the state holds of the key. */
export interface Sum {
  readonly key: string
  readonly count: number
  readonly sum: number
  readonly id: number
}

const keyOf = (id: number): number => (id * 7) % KEYS
export const recordAt = (id: number): Numbered => ({ id, key: `k${keyOf(id)}` })
export const partitionOf = (id: number, shape: Shape, parallelism: number): number =>
  (shape === 'regions' ? keyOf(id) : id) % parallelism

const text = (buffer: Buffer, start: number, end: number): unknown => JSON.parse(buffer.toString('utf8', start, end))

/** A random job of this shape: settings within the rules (PROTOCOL B1 holds for some, heals the others). */
export function jobOf(
  settings: JobSettings,
  recordsPerSecond: number,
  onLost: 'heal' | 'fail' = 'heal',
  shape: Shape = 'exchange',
): { plan: Plan; graphHash: string } {
  const job: JobDefinition = {
    kind: 'weir.job',
    version: 1,
    name: 'sums',
    settings,
    graph: {
      nodes: [
        {
          kind: 'source',
          uid: operatorUid('in'),
          descriptor: { connector: 'log', topic: IN, until: 'latest' },
          decode: text,
          timestamp: settings.checkpoint.mode === 'watermark' ? (v) => (v as Numbered).id * STEP_MS : null,
          outOfOrderMs: 0,
          recordsPerSecond,
        },
        {
          kind: shape === 'regions' ? 'keyedBySource' : 'keyBy',
          uid: operatorUid('by-key'),
          key: (v) => (v as Numbered).key,
        },
        {
          kind: 'reduce',
          uid: operatorUid('sum'),
          initial: { key: '', count: 0, sum: 0, id: -1 } satisfies Sum,
          reduce: (a, v) => {
            const { count, sum } = a as Sum
            const { id, key } = v as Numbered
            return { key, count: count + 1, sum: sum + id, id } satisfies Sum
          },
        },
        {
          kind: 'sink',
          uid: operatorUid('out'),
          descriptor: { connector: 'log', topic: OUT, onLost },
          encodeKey: String,
          encodeValue: (v) => JSON.stringify(v),
        },
      ],
      edges: [
        [0, 1],
        [1, 2],
        [2, 3],
      ],
    },
  }
  const plan = planJob(job)
  return { plan, graphHash: createHash('sha256').update(plan.canonical).digest('hex') }
}
