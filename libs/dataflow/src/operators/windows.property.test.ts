/** Every window operator against windows that keep all records, with late ones, and restored at any point. */
import { WATERMARK_MAX, WATERMARK_MIN, type RecordBatch } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { WindowNode } from '../graph.ts'
import { fireWholly } from '../firing.ts'
import { MemoryKeyedStates } from '../memory-state.ts'
import type { Operator, WindowResult } from '../operator.ts'
import { keepsFired, type Trigger, type WindowSpec } from '../window.ts'
import { windowProcessOf, type WholeSpec } from '../windowing.ts'
import { batchOf, contextOf, uid } from './fixture.ts'
import { windowOperator } from './window.ts'
import { model, sorted, type Event, type ModelOptions, type Step } from './window-model.fixture.ts'

type Stamped = readonly (readonly [timestamp: number, value: number])[]
/** Lists of what it has seen: every record must be in it once. */
const collect: WindowNode['aggregate'] = {
  initial: [],
  add: (seen, value) => [...(seen as Stamped), value],
  merge: (a, b) => [...(a as Stamped), ...(b as Stamped)],
  result: (seen) => (seen as Stamped).toSorted(([a, i], [b, j]) => a - b || i - j).map(([, value]) => value),
}

const valuesOf = (seen: Stamped): number[] => collect.result!(seen, undefined as never) as number[]
/** The same, by a function over all records. */
const whole = (window: WholeSpec): Pick<WindowNode, 'aggregate' | 'process'> =>
  windowProcessOf<Stamped[number], unknown>(window, (seen, { key, window, watermark }, out) => {
    expect(['a', 'b']).toContain(key)
    expect(watermark).toBeGreaterThanOrEqual(WATERMARK_MIN)
    out.emit({ ...window, value: valuesOf(seen) })
  })
/** And by an aggregate. */
const aggregated = (): Pick<WindowNode, 'aggregate' | 'process'> => ({ aggregate: collect })

class Run {
  readonly #options: ModelOptions
  readonly #state = new MemoryKeyedStates()
  #operator!: Operator
  #watermark = WATERMARK_MIN
  readonly counters = { lateRecords: 0 }
  #results: Step['results'][number][] = []
  readonly #firingPartMax: number
  #late: number[] = []
  readonly #out = {
    emit: ({ keys, values, timestamps }: RecordBatch) => {
      for (const [i, result] of (values as WindowResult<number[]>[]).entries()) {
        expect(timestamps[i]).toBe(result.end - 1)
        this.#results.push([keys![i]!, result.start, result.end, result.value])
      }
    },
    watermark: () => {},
  }

  readonly #functions: Pick<WindowNode, 'aggregate' | 'process'>

  constructor(options: ModelOptions, functions = aggregated(), firingPartMax = 1_000) {
    this.#options = options
    this.#functions = functions
    this.#firingPartMax = firingPartMax
    this.#open(WATERMARK_MIN)
  }

  #open(watermark: number): void {
    const { window, latenessMs, trigger } = this.#options
    this.#operator = windowOperator({
      ...{ uid, window, ...this.#functions, allowedLatenessMs: latenessMs },
      ...(trigger && { trigger }),
    })
    const late = {
      emit: ({ values }: RecordBatch) => void this.#late.push(...(values as Stamped).map(([, value]) => value)),
      watermark: () => {},
    }
    const { counters } = this
    const sides = new Map([['late', late]])
    const firingPartMax = this.#firingPartMax
    this.#operator.open(contextOf({ state: this.#state, watermark, counters, sides, freeze: true, firingPartMax }))
  }

  /** `watermark`: as it is told again, from there on. */
  restore(watermark = this.#watermark): void {
    this.#open(watermark)
    if (watermark === this.#watermark) return
    this.#advance()
    expect(this.#results).toEqual([])
  }

  /** Every part is bounded, the watermark goes on once, and behind the last of them. */
  #advance(): void {
    const firing = this.#operator.firing!
    let goneOn = 0
    const out = { emit: this.#out.emit, watermark: () => void goneOn++ }
    let before = this.#results.length
    this.#operator.onWatermark(this.#watermark, out)
    for (;;) {
      expect(this.#results.length - before).toBeLessThanOrEqual(this.#firingPartMax)
      expect(goneOn).toBe(firing.isPending ? 0 : 1)
      if (!firing.isPending) return
      before = this.#results.length
      firing.fire(out)
    }
  }

  step(event: Event): Step {
    if (event.kind === 'watermark') {
      this.#watermark = Math.max(this.#watermark, event.timestamp)
      this.#advance()
    } else {
      const { key, value, timestamp } = event
      this.#operator.onBatch(batchOf([key, [timestamp, value], timestamp]), this.#out)
    }
    const [results, late] = [sorted(this.#results), this.#late]
    this.#results = []
    this.#late = []
    return { results, late }
  }

  /** Rows there are. */
  get rows(): number {
    const names = [
      'window',
      'window[]',
      'window.sessions',
      'window.count',
      'window.seen',
      'window.due',
      'window.count[]',
    ]
    return [...names, 'window.elements[]'].reduce((sum, name) => {
      const state = this.#state.keyed(uid, name)
      return [...state.namespaces(), 0].reduce((n, namespace) => n + [...state.entries(namespace)].length, sum)
    }, 0)
  }
}

const span = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max })
const events: fc.Arbitrary<Event[]> = fc
  .array(
    fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant('record' as const),
          key: fc.constantFrom('a', 'b'),
          value: fc.constant(0),
          timestamp: fc.nat(70),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('watermark' as const), timestamp: fc.nat(90) }) },
    ),
    { maxLength: 40 },
  )
  // Each record is one of its kind.
  .map((all) => all.map((event, i) => (event.kind === 'record' ? { ...event, value: i } : event)))
const ended = (all: readonly Event[]): Event[] => [...all, { kind: 'watermark', timestamp: WATERMARK_MAX }]

const eventTime = (max: number): fc.Arbitrary<Trigger['every']> =>
  span(max).map((everyMs) => ({ by: 'event-time' as const, everyMs }))
const byCount = fc.integer({ min: 1, max: 4 }).map((count) => ({ by: 'count' as const, count }))
const trigger = (every: fc.Arbitrary<Trigger['every']>, purges: boolean): fc.Arbitrary<Trigger> =>
  fc.record({ every, purges: purges ? fc.boolean() : fc.constant(false) })
const lateness = fc.oneof(fc.constant(0), span(25))
const optional = (of: fc.Arbitrary<Trigger>): fc.Arbitrary<Trigger | null> => fc.oneof(fc.constant(null), of)

const tumbling: fc.Arbitrary<ModelOptions> = span(20).chain((sizeMs) =>
  fc.record({
    window: fc.nat(sizeMs - 1).map((offsetMs): WindowSpec => ({ type: 'tumbling', sizeMs, offsetMs })),
    latenessMs: lateness,
    trigger: optional(trigger(fc.oneof(eventTime(20), byCount), true)),
  }),
)
const sliding: fc.Arbitrary<ModelOptions> = span(12).chain((slideMs) =>
  fc.record({
    window: fc
      .tuple(fc.integer({ min: slideMs, max: 36 }), fc.nat(slideMs - 1))
      .map(([sizeMs, offsetMs]): WindowSpec => ({ type: 'sliding', sizeMs, slideMs, offsetMs })),
    latenessMs: lateness,
    trigger: optional(trigger(fc.oneof(eventTime(20), byCount), false)),
  }),
)
const session: fc.Arbitrary<ModelOptions> = fc.record({
  window: span(15).map((gapMs): WindowSpec => ({ type: 'session', gapMs })),
  latenessMs: lateness,
  trigger: optional(trigger(fc.oneof(eventTime(20), byCount), false)),
})
const global: fc.Arbitrary<ModelOptions> = fc.record({
  window: fc.constant<WindowSpec>({ type: 'global' }),
  latenessMs: fc.constant(0),
  trigger: trigger(fc.oneof(eventTime(20), byCount), true),
})

const parts = fc.constantFrom(1, 2, 1_000)

test.each([
  ['tumbling', tumbling, aggregated],
  ['sliding', sliding, aggregated],
  ['session', session, aggregated],
  ['global', global, aggregated],
  ['tumbling, handed over whole,', tumbling, whole],
  ['sliding, handed over whole,', sliding, whole],
] as const)(
  '%s windows agree with windows that keep every record, over a restore at any point',
  (_name, options, by) => {
    fc.assert(
      fc.property(options, events, fc.nat(40), fc.boolean(), parts, (options, some, restart, behind, partMax) => {
        const all = ended(some)
        const run = new Run(options, by(options.window as WholeSpec), partMax)
        const steps = all.map((event, i) => {
          if (i === restart) {
            // A watermark from before the last one, as behind a rescale: what has fired is known all the same.
            const { window, latenessMs } = options
            const knows = keepsFired({ window, allowedLatenessMs: latenessMs }) && options.trigger === null
            run.restore(behind && knows ? WATERMARK_MIN : undefined)
          }
          return run.step(event)
        })
        expect(steps).toEqual(model(options, all))
        expect(run.counters.lateRecords).toBe(steps.flatMap(({ late }) => late).length)
        if (options.window.type !== 'global') expect(run.rows).toBe(0)
      }),
      { numRuns: 1_000 },
    )
  },
)

test('every record is in one batch or in several: the same results', () => {
  fc.assert(
    fc.property(fc.oneof(tumbling, sliding, session, global), events, (options, some) => {
      const results = (batched: boolean): unknown[] => {
        const seen: unknown[] = []
        const out = { emit: ({ values }: RecordBatch) => void seen.push(...values), watermark: () => {} }
        const { window, latenessMs: allowedLatenessMs, trigger } = options
        const operator = windowOperator({
          uid,
          window,
          aggregate: collect,
          allowedLatenessMs,
          ...(trigger && { trigger }),
        })
        operator.open(contextOf({ freeze: true }))
        let batch: RecordBatch | null = null
        const flush = (): void => {
          if (batch !== null) operator.onBatch(batch, out)
          batch = null
        }
        let watermark = WATERMARK_MIN
        for (const event of ended(some)) {
          if (event.kind === 'watermark') {
            flush()
            operator.onWatermark((watermark = Math.max(watermark, event.timestamp)), out)
            fireWholly([{ firing: operator.firing!, out }])
            continue
          }
          const { key, value, timestamp } = event
          const one = batchOf([key, [timestamp, value], timestamp])
          if (batch === null) batch = one
          else {
            batch.keys!.push(key)
            batch.values.push(one.values[0])
            batch.timestamps.push(timestamp)
          }
          if (!batched) flush()
        }
        return seen
      }
      expect(results(true)).toEqual(results(false))
    }),
    { numRuns: 300 },
  )
})
