import { expect, test } from 'vitest'
import { outcomeOf, unsettled, type SinkOutcome } from './ledger.ts'
import { LOOK_INTERVAL_MAX_MS, reaperFor, stepReaper, type ReaperEffect, type ReaperEvent } from './reaper.ts'

type Untimed = ReaperEvent extends infer E ? (E extends unknown ? Omit<E, 'now'> : never) : never
const TIMEOUT_MS = 60_000
const name = { transactionalId: 'weir.pay.sums.0.1', producerId: '7', producerEpoch: 3 }
const nothing: Untimed = { type: 'looked', open: [], ending: 0 }

/** A reaper with its clock; `do` answers what it says to an event, as words. */
class Run {
  now = 0
  #step
  constructor(settled: boolean, outcomes: readonly SinkOutcome[] = []) {
    this.#step = reaperFor({ transactionTimeoutMs: TIMEOUT_MS, settled, outcomes }, 0)
  }
  get began(): string[] {
    return words(this.#step.effects)
  }
  get phase(): string {
    return this.#step.state.phase
  }
  get outcomes(): string[] {
    return this.#step.state.outcomes.map((o) => `${o.sink} ${o.subtask} ${o.state}`)
  }
  do(event: Untimed): string[] {
    this.#step = stepReaper(this.#step.state, { ...event, now: this.now } as ReaperEvent)
    return words(this.#step.effects)
  }
  after(ms: number): string[] {
    this.now += ms
    return this.do({ type: 'tick' })
  }
  /** ms of rest before it says something again. */
  rest(): [number, string[]] {
    for (let ms = 0; ; ms += 100) {
      const said = this.after(ms === 0 ? 0 : 100)
      if (said.length > 0) return [ms, said]
    }
  }
}
const words = (effects: readonly ReaperEffect[]): string[] =>
  effects.map((e) => {
    if (e.type === 'record') return `record ${e.ledger}`
    return e.type === 'abort' ? `abort ${e.transactions.map((t) => t.transactionalId).join(' ')}` : e.type
  })

test('a job that ended well is looked at, less and less often, until its transactions would have expired', () => {
  const run = new Run(true)
  expect(run.began).toEqual(['look'])
  const rests: number[] = []
  while (run.phase !== 'closed') {
    const said = run.do(nothing)
    if (said.length > 0) {
      expect(said).toEqual(['record closed'])
      break
    }
    const [ms, next] = run.rest()
    expect(next).toEqual(['look'])
    rests.push(ms)
  }
  expect(rests).toEqual([500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000])
  expect(run.now).toBeGreaterThanOrEqual(TIMEOUT_MS)
  expect(run.now).toBeLessThan(TIMEOUT_MS + LOOK_INTERVAL_MAX_MS)
})

test('what a late recovery has opened is aborted by its exact name, and the watch begins again', () => {
  const run = new Run(true)
  run.do(nothing)
  run.now = TIMEOUT_MS - 1
  expect(run.do({ type: 'tick' })).toEqual(['look'])
  expect(run.do({ type: 'looked', open: [name], ending: 0 })).toEqual(['abort weir.pay.sums.0.1'])
  expect(run.do({ type: 'aborted' })).toEqual([])
  expect(run.rest()).toEqual([500, ['look']])
  run.now = 2 * TIMEOUT_MS - 2
  expect(run.do(nothing)).toEqual([])
  run.now = 2 * TIMEOUT_MS + LOOK_INTERVAL_MAX_MS
  run.do({ type: 'tick' })
  expect(run.do(nothing)).toEqual(['record closed'])
})

test('what is ending by itself is waited for, and is no end of the watch', () => {
  const run = new Run(true)
  run.now = TIMEOUT_MS
  expect(run.do({ type: 'looked', open: [], ending: 1 })).toEqual([])
  expect(run.rest()).toEqual([500, ['look']])
  expect(run.do(nothing)).toEqual([])
  expect(run.phase).toBe('resting')
})

test('a published epoch that nobody has committed is settled before anything is aborted', () => {
  const run = new Run(false, unsettled(['sums'], 2, 5))
  expect(run.began).toEqual(['settle'])
  // One answers, the other one cannot be asked.
  const away: SinkOutcome = {
    sink: 'sums',
    subtask: 1,
    epoch: 5,
    state: 'UNSETTLED',
    facts: { code: 'JANITOR_MISSING' },
  }
  expect(run.do({ type: 'settled', outcomes: [outcomeOf('sums', 0, 5, []), away] })).toEqual([])
  expect(run.outcomes).toEqual(['sums 0 CLEAN', 'sums 1 UNSETTLED'])
  expect(run.rest()).toEqual([500, ['settle']])
  const lost: SinkOutcome = { sink: 'sums', subtask: 1, epoch: 5, state: 'LOST', facts: {} }
  expect(run.do({ type: 'settled', outcomes: [lost] })).toEqual(['record settled', 'look'])
  expect(run.outcomes).toEqual(['sums 0 CLEAN', 'sums 1 LOST'])
  expect(run.do({ type: 'looked', open: [name], ending: 0 })).toEqual(['abort weir.pay.sums.0.1'])
})

test('it is never given up: with no task-manager there it asks again every 15 s', () => {
  const run = new Run(false, unsettled(['sums'], 1, 5))
  for (let i = 0; i < 50; i++) {
    run.do({ type: 'settled', outcomes: [] })
    run.rest()
  }
  run.do({ type: 'settled', outcomes: [] })
  expect(run.rest()).toEqual([LOOK_INTERVAL_MAX_MS, ['settle']])
})

test('a look that failed is repeated and closes nothing', () => {
  const run = new Run(true)
  run.now = 2 * TIMEOUT_MS
  expect(run.do({ type: 'look-failed' })).toEqual([])
  expect(run.rest()).toEqual([500, ['look']])
})

test('an answer to nothing is a bug', () => {
  expect(() => new Run(true).do({ type: 'aborted' })).toThrow('internal: aborted while looking')
})
