import { planJob, type JobDefinition } from '@weir/dataflow'
import { expect, test } from 'vitest'
import { boundedOutOfOrderness, customWatermarks, job, json, kafka, monotonous, type TopicOptions } from './index.ts'

interface Tick {
  readonly at: number
  readonly until: number
}
const jobWith = (
  time: Partial<TopicOptions<Tick>>,
  settings: { commit?: { scope: 'continuous' } } = {},
): JobDefinition =>
  job('ticks', settings, (flow) => {
    flow.from(kafka.topic('ticks', { value: json<Tick>(), ...time })).to(kafka.sink('out'))
  })
const configOf = (time: Partial<TopicOptions<Tick>>): unknown => planJob(jobWith(time)).summary.nodes[0]!.config

test('strategies are values that fit sources of their records; a job without them keeps its hash', () => {
  expect(Object.isFrozen(monotonous())).toBe(true)
  expect(configOf({ watermarks: boundedOutOfOrderness('5s') })).toMatchObject({ outOfOrderMs: 5_000 })
  expect(configOf({ watermarks: monotonous() })).toEqual(configOf({}))
  const until = customWatermarks({
    initial: 0,
    onEvent: (_, tick: Tick) => tick.until,
    watermark: (ms) => ms,
  })
  expect(configOf({ watermarks: until })).toMatchObject({ watermarks: { initial: 0 } })
  expect(configOf({ idleAfter: '30s', alignWithin: '1m' })).toMatchObject({
    idleAfterMs: 30_000,
    alignWithinMs: 60_000,
  })
  // @ts-expect-error it is of ticks
  kafka.topic('words', { value: json<string>(), watermarks: until })
})

test.each<[string, Partial<TopicOptions<Tick>>, string]>([
  ['two strategies', { watermarks: monotonous(), outOfOrder: '1s' }, 'OPTION_INVALID'],
  ['an idleness that a waiting poll would reach', { idleAfter: '50ms' }, 'GRAPH_NODE_INVALID'],
  ['no duration', { alignWithin: 0 }, 'DURATION_INVALID'],
])('%s is refused', (_, time, code) => {
  expect(() => configOf(time)).toThrow(expect.objectContaining({ code }) as Error)
})

test.each<Partial<TopicOptions<Tick>>>([{ idleAfter: '30s' }, { alignWithin: '1m' }])(
  'the continuous scope refuses %j: there every partition has its own event time',
  (time) => {
    expect(() => planJob(jobWith(time, { commit: { scope: 'continuous' } }))).toThrow(
      expect.objectContaining({
        code: 'CONTINUOUS_SCOPE_REFUSED',
        message: expect.stringContaining('idleAfter'),
      }) as Error,
    )
  },
)
