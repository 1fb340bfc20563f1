import { attempt, generation, operatorUid, placeOf, subtask, WATERMARK_MIN, type RecordBatch } from '@weir/model'
import { expect, test } from 'vitest'
import type { IdempotentNode } from '../claim-node.ts'
import type { Claim, ClaimAnswer, ClaimStore, HeldClaim } from '../claims.ts'
import type { Collector } from '../operator.ts'
import { CLAIM_BATCHES_MAX, Idempotent } from './idempotent.ts'

const attemptId = { generation: generation(1), attempt: attempt(1) }
const held: HeldClaim = { fingerprint: 'g', origin: 'other', eventTime: 5, attempt: attemptId, status: 'CLAIMED' }

/** A store that answers when it is told. */
class HeldStore implements ClaimStore {
  readonly asked: {
    readonly claims: readonly Claim[]
    readonly answer: (outcomes: readonly string[] | Error) => Promise<void>
  }[] = []

  claim(claims: readonly Claim[]): Promise<readonly ClaimAnswer[]> {
    return new Promise((resolve, reject) => {
      this.asked.push({
        claims,
        answer: async (outcomes) => {
          if (outcomes instanceof Error) reject(outcomes)
          else
            resolve(
              (outcomes as ClaimAnswer['outcome'][]).map((outcome) => {
                return { outcome, held: outcome === 'duplicate' || outcome === 'conflict' ? held : null }
              }),
            )
          await Promise.resolve()
          await Promise.resolve()
        },
      })
    })
  }
  dead = (): Promise<void> => Promise.resolve()
  close = (): Promise<void> => Promise.resolve()
}

const batch = (...values: { id: string; amount: number }[]): RecordBatch => ({
  keys: null,
  values,
  timestamps: values.map((_, i) => 10 + i),
  origins: { places: values.map(() => placeOf(0, 3)), offsets: values.map((_, i) => i), ordinals: null },
})
const value = (id: string, amount = 1): { id: string; amount: number } => ({ id, amount })

interface Told {
  readonly out: unknown[]
  readonly duplicates: unknown[]
  readonly conflicts: unknown[]
  readonly refused: string[]
}

function opened(onConflict: IdempotentNode['onConflict'] = 'sideOutput') {
  const store = new HeldStore()
  const told: Told = { out: [], duplicates: [], conflicts: [], refused: [] }
  const into = (list: unknown[]): Collector => ({
    emit: ({ values, timestamps, origins }) =>
      list.push(...values.map((v, i) => ({ value: v, at: timestamps[i], offset: origins?.offsets[i] }))),
    watermark: (timestamp) => list.push(timestamp),
  })
  let woken = 0
  let held = false
  const uid = operatorUid('once')
  const operator = new Idempotent({
    uid,
    onConflict,
    claimOf: (v) => {
      const { id, amount } = v as { id: string; amount: number }
      if (amount < 0) throw new Error('less than nothing')
      return { key: { bizKey: id, eventType: 'paid' }, fingerprint: String(amount) }
    },
  })
  operator.open({
    ...{ uid, subtask: subtask(0), parallelism: 1, maxParallelism: 1, watermark: WATERMARK_MIN, freeze: false },
    ...{
      state: { keyed: () => expect.fail('it has no state') },
      counters: { lateRecords: 0 },
      clock: { now: () => 0 },
    },
    sides: new Map([
      ['duplicates', into(told.duplicates)],
      ['conflicts', into(told.conflicts)],
    ]),
    refuse: (_, i, error) => told.refused.push(`${i} ${error.code}`),
    calls: { after: () => () => {}, signal: new AbortController().signal, ready: () => woken++, isHeld: () => held },
    claims: () => ({
      ...{ store, attempt: attemptId },
      names: {
        ...{ jobId: 'job', uid, window: null, logId: () => 'T1' },
        names: () => ({ source: operatorUid('orders'), topic: 'orders', partition: 3 }),
      },
    }),
  })
  const out = into(told.out)
  return { operator, store, told, out, woken: () => woken, hold: (is: boolean) => void (held = is) }
}

test('a batch is claimed at once, by where its records were read', () => {
  const { operator, store } = opened()
  operator.onBatch(batch(value('a'), value('b', 2)))
  expect(store.asked).toHaveLength(1)
  expect(store.asked[0]!.claims).toEqual([
    {
      key: { bizKey: 'a', eventType: 'paid' },
      fingerprint: '1',
      origin: 'job/once/orders/3/0@T1',
      attempt: attemptId,
      eventTime: 10,
    },
    {
      key: { bizKey: 'b', eventType: 'paid' },
      fingerprint: '2',
      origin: 'job/once/orders/3/1@T1',
      attempt: attemptId,
      eventTime: 11,
    },
  ])
})

test('first, replay and handed-on pass; duplicates and conflicts go aside, with where they were read', async () => {
  const { operator, store, told, out } = opened()
  operator.onBatch(batch(value('a'), value('b'), value('c'), value('d'), value('e')))
  await store.asked[0]!.answer(['first', 'duplicate', 'replay', 'conflict', 'handed-on'])
  operator.calls.emit(out)
  expect(told.out).toEqual([
    { value: value('a'), at: 10, offset: 0 },
    { value: value('c'), at: 12, offset: 2 },
    { value: value('e'), at: 14, offset: 4 },
  ])
  expect(told.duplicates).toEqual([{ value: value('b'), at: 11, offset: 1 }])
  const conflict = { kind: 'CONFLICT', value: value('d'), bizKey: 'd', eventType: 'paid', fingerprint: '1' }
  const by = { fingerprint: 'g', eventTime: 5, origin: 'other' }
  expect(told.conflicts).toEqual([{ value: { ...conflict, held: by }, at: 13, offset: 3 }])
})

test('onConflict pass: it passes, and is told of all the same', async () => {
  const { operator, store, told, out } = opened('pass')
  operator.onBatch(batch(value('a'), value('b')))
  await store.asked[0]!.answer(['conflict', 'duplicate'])
  operator.calls.emit(out)
  expect(told.out).toHaveLength(1)
  expect(told.conflicts).toHaveLength(1)
})

test('onConflict fail: the attempt ends, naming both places and no key', async () => {
  const { operator, store, out } = opened('fail')
  operator.onBatch(batch(value('a')))
  await store.asked[0]!.answer(['conflict'])
  const facts = expect.objectContaining({ origin: 'job/once/orders/3/0@T1', heldBy: 'other' }) as object
  expect(() => operator.calls.emit(out)).toThrow(
    expect.objectContaining({ code: 'CLAIM_CONFLICT', kind: 'invalid', facts }) as Error,
  )
})

test('batches go on as they came, watermarks between them', async () => {
  const { operator, store, told, out, woken } = opened()
  operator.onWatermark(1, out)
  operator.onBatch(batch(value('a')))
  operator.onWatermark(2, out)
  operator.onBatch(batch(value('b')))
  operator.onWatermark(3, out)
  await store.asked[1]!.answer(['first'])
  operator.calls.emit(out)
  expect(told.out).toEqual([1])
  expect(operator.calls.isEmpty).toBe(false)
  await store.asked[0]!.answer(['first'])
  expect(woken()).toBe(2)
  operator.calls.emit(out)
  expect(told.out.map((o) => (typeof o === 'number' ? o : (o as { value: { id: string } }).value.id))).toEqual([
    1,
    'a',
    2,
    'b',
    3,
  ])
  expect(operator.calls.isEmpty).toBe(true)
})

test('while a firing holds them up behind a watermark, none goes on', async () => {
  const { operator, store, told, out, hold } = opened()
  const { watermark } = out
  const holding = {
    ...out,
    watermark: (timestamp: number) => {
      watermark(timestamp)
      hold(true)
    },
  }
  operator.onBatch(batch(value('a')))
  operator.onWatermark(2, out)
  operator.onBatch(batch(value('b')))
  for (const asked of store.asked) await asked.answer(['first'])
  operator.calls.emit(holding)
  operator.calls.emit(holding)
  expect(told.out).toHaveLength(2)
  hold(false)
  operator.calls.emit(holding)
  expect(told.out).toHaveLength(3)
})

test('of a bounded number of batches', async () => {
  const { operator, store, out } = opened()
  for (let i = 0; i < CLAIM_BATCHES_MAX; i++) {
    expect(operator.calls.isFull).toBe(false)
    operator.onBatch(batch(value(`k${i}`)))
  }
  expect(operator.calls.isFull).toBe(true)
  await store.asked[0]!.answer(['first'])
  operator.calls.emit(out)
  expect(operator.calls.isFull).toBe(false)
})

test('a batch of duplicates alone emits nothing', async () => {
  const { operator, store, told, out } = opened()
  operator.onBatch(batch(value('a')))
  await store.asked[0]!.answer(['duplicate'])
  operator.calls.emit(out)
  expect(told.out).toEqual([])
})

test('a record whose claim cannot be made is refused, the others are claimed', async () => {
  const { operator, store, told, out } = opened()
  operator.onBatch(batch(value('a'), value('b', -1), value('c')))
  expect(told.refused).toEqual(['1 OPERATOR_FAILED'])
  await store.asked[0]!.answer(['first', 'first'])
  operator.calls.emit(out)
  expect(told.out).toMatchObject([{ offset: 0 }, { offset: 2 }])
})

test('a store that gives up ends the attempt, in the loop of its stage', async () => {
  const { operator, store, out } = opened()
  operator.onBatch(batch(value('a')))
  await store.asked[0]!.answer(new Error('gone'))
  expect(() => operator.calls.emit(out)).toThrow('gone')
})
