/** Steps, one kind per key: what a chain of the TypeScript API says with a call. */
import * as z from 'zod'
import { CLAIMS_ERROR, CLAIM_STORES } from './claims.ts'
import { Sink, Source } from './connectors.ts'
import { Count, Duration, Expression, Projection, SignedDuration, StepName, Text, Uid } from './words.ts'

/** Where a fold begins: plain JSON. */
const Initial = z
  .json()
  .describe('Where the fold of every key begins. A whole number is an int, one with a fraction a double.')

/** Of many records one value. */
const Aggregation = z
  .union(
    [
      z.enum(['count']),
      z.strictObject({ sum: Expression }),
      z.strictObject({ min: Expression }),
      z.strictObject({ max: Expression }),
      z.strictObject({ avg: Expression }),
      z.strictObject({ first: Expression }),
      z.strictObject({ last: Expression }),
    ],
    { error: 'is count, or one of sum, min, max, avg, first, last with an expression: { sum: value.amount }' },
  )
  .describe('count, or one of sum, min, max, avg, first, last of an expression.')
const Aggregations = z
  .record(z.string(), Aggregation)
  .describe('One aggregation per field of the result: { total: { sum: value.amount }, n: count }.')

const Reduce = z
  .strictObject({
    initial: Initial,
    add: Projection.describe('The next accumulator, of acc and value.'),
    merge: Projection.optional().describe(
      'Of two accumulators, acc (earlier) and other (later): for sliding and session windows.',
    ),
  })
  .describe('A fold of your own.')

const WindowFold = z
  .union(
    [
      z.enum(['count']),
      z.strictObject({ sum: Expression }),
      z.strictObject({ min: Expression }),
      z.strictObject({ max: Expression }),
      z.strictObject({ reduce: Reduce }),
      z.strictObject({ aggregate: Aggregations }),
    ],
    { error: 'is count, { sum | min | max: expression }, { reduce: … } or { aggregate: … }' },
  )
  .describe('What becomes of the records of a window.')

const Trigger = z
  .union([z.strictObject({ everyEventTime: Duration }), z.strictObject({ everyProcessingTime: Duration })], {
    error: 'is { everyEventTime: 10s } or { everyProcessingTime: 10s }',
  })
  .describe('Fires early, besides at the end.')

const Span = z.union([Duration, z.strictObject({ size: Duration, offset: Duration.optional() })], {
  error: 'is a duration, or { size: 1d, offset: 8h }',
})
const Slide = z.strictObject({ size: Duration, every: Duration, offset: Duration.optional() })

export const Window = z
  .strictObject({
    tumbling: Span.optional().describe('One after the other: every record is in one.'),
    sliding: Slide.optional().describe('A window of size begins every …'),
    session: Duration.optional().describe('Records of a key less than this apart.'),
    count: Count.optional().describe('Every so many records of a key.'),
    fold: WindowFold,
    allowedLateness: Duration.optional().describe('Late records up to so much behind the end fire the window again.'),
    trigger: Trigger.optional(),
  })
  .describe('Windows of a keyed stream. Puts out { start, end, value }; late records are in the side output late.')

const Claims = z
  .union([z.enum(['state']), ...CLAIM_STORES], { error: CLAIMS_ERROR })
  .describe('Where claims are kept. Default: the job’s own state.')

export const stepKinds = {
  from: Source.describe('Reads a source.'),
  filter: Expression.describe('Lets those records through for which this is true.'),
  map: Projection.describe('One record of each.'),
  flatMap: Expression.describe('A list: each of its items is a record.'),
  keyBy: Expression.describe('What follows runs where the key lives: a text or a number.'),
  keyedBySource: Expression.describe('As keyBy, of a topic that is partitioned by this key already.'),
  reduce: Reduce.describe('Puts out the new accumulator for every record.'),
  aggregate: Aggregations.describe('Running aggregates of a key, put out for every record.'),
  window: Window,
  deduplicate: z
    .strictObject({ ttl: Duration })
    .describe('The first record of a key within ttl; the others are in the side output duplicates.'),
  sessionize: z
    .strictObject({ gap: Duration })
    .describe('Whole sessions, as { start, end, records }; late ones in the side output late.'),
  idempotent: z
    .strictObject({
      bizKey: Expression.describe('What there is to be one effect of: the order, the payment.'),
      eventType: Expression.optional(),
      fingerprint: Projection.optional().describe('What two events with one key must agree in; else they conflict.'),
      fingerprintSecond: z
        .boolean()
        .optional()
        .describe('The whole second of event time is part of the key (fieldsAndSecond).'),
      window: Duration.optional(),
      ttl: Duration.optional(),
      rewind: Duration.optional(),
      store: Claims.optional(),
      onDuplicate: z.enum(['drop', 'sideOutput']).optional(),
      onConflict: z.enum(['sideOutput', 'pass', 'fail']).optional(),
      onUnavailable: z
        .union([z.enum(['fail', 'local']), z.strictObject({ block: Duration })], {
          error: 'is fail, local or { block: 30s }',
        })
        .optional(),
    })
    .describe('Lets each event through once. Side outputs: duplicates (if asked for), conflicts.'),
  union: z.array(StepName).min(2, { error: 'names at least two steps' }).describe('Several streams as one.'),
  join: z
    .strictObject({
      left: StepName,
      right: StepName,
      window: z.union(
        [
          z.strictObject({ tumbling: Duration }),
          z.strictObject({ sliding: z.strictObject({ size: Duration, every: Duration }) }),
        ],
        {
          error: 'is { tumbling: 10s } or { sliding: { size: 1m, every: 10s } }',
        },
      ),
      keeps: z
        .enum(['inner', 'left', 'full'])
        .default('inner')
        .describe('Of which sides records without a partner come out, too.'),
      select: Projection.describe('Of left, right (null: no partner) and window.start, window.end.'),
    })
    .describe('Pairs with one key in one window. Side outputs: lateLeft, lateRight.'),
  intervalJoin: z
    .strictObject({ left: StepName, right: StepName, lower: SignedDuration, upper: SignedDuration, select: Projection })
    .describe('Pairs with one key: left + lower ≤ right ≤ left + upper. Side outputs: lateLeft, lateRight.'),
  sideOutput: Text.describe('A side output of the step this one reads.'),
  to: Sink.describe('Writes a sink.'),
}
export type StepKind = keyof typeof stepKinds
export const STEP_KINDS = Object.keys(stepKinds) as StepKind[]

/** Those that say themselves what they read. */
export const OWN_INPUTS: readonly StepKind[] = ['from', 'union', 'join', 'intervalJoin']

const input = StepName.optional().describe('uid of the step this one reads. Default: the step above.')
const uid = Uid.optional()

export type Step = {
  [K in StepKind]: { [N in K]: z.infer<(typeof stepKinds)[K]> } & { readonly uid?: string; readonly input?: string }
}[StepKind]

const stepOf = (kind: StepKind) =>
  z.strictObject({
    [kind]: stepKinds[kind],
    uid,
    ...(!OWN_INPUTS.includes(kind) && { input }),
  })
/** By the key that says what it is. */
export const steps = Object.fromEntries(
  STEP_KINDS.map((kind) => [kind, stepOf(kind).describe(stepKinds[kind].description ?? kind)]),
) as unknown as Readonly<Record<StepKind, z.ZodType<Step>>>
