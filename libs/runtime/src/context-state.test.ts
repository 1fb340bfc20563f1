import { attempt, epoch, generation, type CheckpointId, type WeirError } from '@weir/model'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CREATED, stepContext, type ContextEvent, type ContextState } from './context-state.ts'

const id = (n: number): CheckpointId => ({ generation: generation(1), attempt: attempt(1), epoch: epoch(n) })
const start: ContextEvent = { type: 'start' }
const barrier = (n: number, now = n * 100): ContextEvent => ({ type: 'barrier', checkpoint: id(n), now })
const complete = (n: number): ContextEvent => ({ type: 'complete', epoch: epoch(n) })
const giveUp = (n: number): ContextEvent => ({ type: 'give-up', epoch: epoch(n) })
const close: ContextEvent = { type: 'close', now: 9_999 }

const after = (...events: ContextEvent[]): ContextState =>
  events.reduce((state, event) => stepContext(state, event).state, CREATED)
const word = ({ lifecycle, snapshot }: ContextState): string => `${lifecycle} ${snapshot}`
const refused = (state: ContextState, event: ContextEvent): string | null => {
  try {
    stepContext(state, event)
    return null
  } catch (error) {
    return (error as WeirError).code
  }
}

test('the table of the lifecycle, in its order', () => {
  expect(word(after())).toBe('CREATED NOT_STARTED')
  expect(word(after(start))).toBe('RUNNING NOT_STARTED')
  expect(word(after(start, barrier(1)))).toBe('RUNNING IN_PROGRESS')
  expect(word(after(start, barrier(1), complete(1)))).toBe('RUNNING COMMITTED')
  expect(word(after(start, barrier(1), complete(1), close))).toBe('CLOSING FINALIZED')
})

const every = {
  CREATED: after(),
  NOT_STARTED: after(start),
  IN_PROGRESS: after(start, barrier(5)),
  COMMITTED: after(start, barrier(5), complete(5)),
  FINALIZED: after(start, close),
}
const EVENTS: Record<string, ContextEvent> = {
  ...{
    start,
    close,
    'barrier 5': barrier(5),
    'barrier 6': barrier(6),
    'complete 5': complete(5),
    'complete 6': complete(6),
  },
  ...{ 'give-up 5': giveUp(5), 'give-up 6': giveUp(6) },
}
const LEGAL: Record<keyof typeof every, readonly string[]> = {
  CREATED: ['close', 'give-up 5', 'give-up 6', 'start'],
  NOT_STARTED: ['barrier 5', 'barrier 6', 'close', 'give-up 5', 'give-up 6'],
  IN_PROGRESS: ['barrier 5', 'barrier 6', 'close', 'complete 5', 'give-up 5', 'give-up 6'],
  COMMITTED: ['barrier 5', 'barrier 6', 'close', 'complete 5', 'give-up 6'],
  FINALIZED: [],
}

test.each(Object.entries(every))('%s takes the events of the table and refuses the others by code', (name, state) => {
  const answers = Object.entries(EVENTS).map(([event, of]) => [event, refused(state, of)] as const)
  const legal = answers.filter(([, code]) => code === null).map(([event]) => event)
  expect(legal.toSorted()).toEqual(LEGAL[name as keyof typeof every])
  const codes = new Set(answers.flatMap(([, code]) => code ?? []))
  expect([...codes]).toEqual(['CONTEXT_TRANSITION_ILLEGAL'])
})

test('the time of a barrier is that of its first stage; further stages change nothing', () => {
  const state = after(start, barrier(1, 100), barrier(1, 170))
  expect(state).toMatchObject({ snapshot: 'IN_PROGRESS', barrier: { checkpoint: id(1), timestamp: 100 } })
})

test('giving up goes back to what was committed before, or to nothing', () => {
  expect(word(after(start, barrier(1), giveUp(1)))).toBe('RUNNING NOT_STARTED')
  const state = after(start, barrier(1), complete(1), barrier(2), giveUp(2))
  expect(state).toMatchObject({ snapshot: 'COMMITTED', committed: { checkpoint: id(1) } })
})

test('A20: the late barrier of an epoch that was given up begins nothing', () => {
  const state = after(start, barrier(1), giveUp(1))
  expect(stepContext(state, barrier(1)).state).toBe(state)
  expect(word(after(start, giveUp(1), barrier(1)))).toBe('RUNNING NOT_STARTED')
  expect(word(after(start, giveUp(1), barrier(2)))).toBe('RUNNING IN_PROGRESS')
})

test('a barrier that follows an epoch without a part in its commit proves that it was committed', () => {
  const state = after(start, barrier(1), barrier(2), giveUp(2))
  expect(state).toMatchObject({ snapshot: 'COMMITTED', committed: { checkpoint: id(1) } })
})

test('closing forces the final snapshot in every state that runs, and names what nobody has decided', () => {
  for (const state of [every.NOT_STARTED, every.IN_PROGRESS, every.COMMITTED])
    expect(stepContext(state, close).effects).toEqual([{ type: 'snapshot-final', timestamp: 9_999 }])
  expect(stepContext(CREATED, close).effects).toEqual([])
  expect(after(start, barrier(5), close)).toMatchObject({ committed: null, undecided: { checkpoint: id(5) } })
  expect(after(start, barrier(5), complete(5), close)).toMatchObject({
    committed: { checkpoint: id(5) },
    undecided: null,
  })
})

const TABLE = [
  'CREATED NOT_STARTED',
  'RUNNING NOT_STARTED',
  'RUNNING IN_PROGRESS',
  'RUNNING COMMITTED',
  'CLOSING FINALIZED',
]
const anyEvent = fc.oneof(
  fc.constantFrom(start, start, close),
  fc.integer({ min: 1, max: 4 }).chain((n) => fc.constantFrom(barrier(n), barrier(n), complete(n), giveUp(n))),
)

test('whatever comes in whatever order: a pair of the table or an error, and nothing committed is ever forgotten', () => {
  const property = fc.property(fc.array(anyEvent, { maxLength: 20 }), (events) => {
    let state = CREATED
    for (const event of events) {
      if (refused(state, event) !== null) continue
      const before = 'committed' in state ? (state.committed?.checkpoint.epoch ?? 0) : 0
      state = stepContext(state, event).state
      expect(TABLE).toContain(word(state))
      const after = 'committed' in state ? (state.committed?.checkpoint.epoch ?? 0) : 0
      expect(after).toBeGreaterThanOrEqual(before)
    }
  })
  fc.assert(property)
})
