import { subtask } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import type { SourceReader } from '@weir/dataflow'
import { contextOf } from '@weir/dataflow/testing'
import { expect, test } from 'vitest'
import { payment, paymentsOptions, PaymentsSource, type Payment } from './datagen.ts'

const descriptor = {
  connector: 'datagen',
  generator: 'payments',
  splits: 3,
  recordsPerSplit: 10,
  users: 5,
  paidPercent: 80,
  startTs: 1_767_225_600_000,
  stepMs: 10,
  seed: 1,
}
const options = paymentsOptions(descriptor)
const context = (n: number, parallelism: number) => contextOf('j', 'in', { subtask: subtask(n), parallelism })
const source = (n = 0, parallelism = 1, over = {}): PaymentsSource =>
  new PaymentsSource({ ...options, ...over }, { context: context(n, parallelism), clock: systemClock })

async function drain(reader: SourceReader, maxRecords: number): Promise<{ log: string[]; payments: Payment[] }> {
  const log: string[] = []
  const payments: Payment[] = []
  for (;;) {
    const polled = await reader.poll(maxRecords)
    if (polled === 'end') return { log: [...log, 'end'], payments }
    if (polled === 'idle') throw new Error('idle')
    if (polled.kind === 'split-end') log.push(`split-end ${polled.split}`)
    else if (polled.kind === 'values') {
      log.push(`${polled.split}: ${polled.values.length}`)
      payments.push(...(polled.values as Payment[]))
    }
  }
}

test('a record is a function of seed, split and offset, for ever', () => {
  expect(payment(options, 2, 7)).toEqual(payment({ ...options, splits: 9, recordsPerSplit: null }, 2, 7))
  expect([0, 1, 2].map((offset) => payment(options, 0, offset))).toMatchInlineSnapshot(`
    [
      {
        "amountMinor": 38520,
        "id": "p-0-0",
        "status": "PAID",
        "ts": 1767225600000,
        "user": "u-2",
      },
      {
        "amountMinor": 76637,
        "id": "p-0-1",
        "status": "PAID",
        "ts": 1767225600010,
        "user": "u-1",
      },
      {
        "amountMinor": 47829,
        "id": "p-0-2",
        "status": "PAID",
        "ts": 1767225600020,
        "user": "u-0",
      },
    ]
  `)
  expect(payment(options, 0, 1)).not.toEqual(payment({ ...options, seed: 2 }, 0, 1))
  expect(payment(options, 0, 0x1_0000_0001).amountMinor).not.toBe(payment(options, 0, 1).amountMinor)
})

test('users and states are spread as asked', () => {
  const made = Array.from({ length: 10_000 }, (_, offset) => payment(options, 0, offset))
  expect(new Set(made.map((p) => p.user)).size).toBe(5)
  const paid = made.filter((p) => p.status === 'PAID').length
  expect(paid).toBeGreaterThan(7_800)
  expect(paid).toBeLessThan(8_200)
  expect(payment({ ...options, paidPercent: 0 }, 0, 1).status).toBe('FAILED')
  expect(payment({ ...options, paidPercent: 100 }, 0, 1).status).toBe('PAID')
})

test('splits take turns, each ends once, then the source says end again and again', async () => {
  const reader = source()
  expect(await reader.open(null)).toEqual([0, 1, 2])
  const { log } = await drain(reader, 6)
  expect(log).toEqual([
    '0: 6',
    '1: 6',
    '2: 6',
    '0: 4',
    '1: 4',
    '2: 4',
    'split-end 0',
    'split-end 1',
    'split-end 2',
    'end',
  ])
  expect(await reader.poll(6)).toBe('end')
})

test('subtasks share the splits; one without any is at its end', async () => {
  expect(await source(0, 2).open(null)).toEqual([0, 2])
  expect(await source(1, 2).open(null)).toEqual([1])
  const none = source(3, 4)
  expect(await none.open(null)).toEqual([])
  expect(await none.poll(1)).toBe('end')
  const endless = source(3, 4, { recordsPerSplit: null })
  await endless.open(null)
  expect(await endless.poll(1)).toBe('idle')
})

test('a restored reader goes on at exactly the next record', async () => {
  const first = source()
  await first.open(null)
  const before = [await first.poll(4), await first.poll(4)].flatMap((p) =>
    typeof p === 'object' && p.kind === 'values' ? (p.values as Payment[]) : [],
  )
  const state = JSON.parse(JSON.stringify(first.snapshot())) as Record<string, unknown>
  expect(state).toEqual({ 0: 4, 1: 4, 2: 0 })
  const second = source()
  await second.open(state)
  const { payments } = await drain(second, 3)
  const all = [0, 1, 2].flatMap((s) => Array.from({ length: 10 }, (_, o) => payment(options, s, o)))
  const byId = (a: Payment, b: Payment): number => (a.id < b.id ? -1 : 1)
  expect([...before, ...payments].sort(byId)).toEqual(all.sort(byId))
})

test('a descriptor of something else is refused by name', () => {
  expect(() => paymentsOptions({ ...descriptor, generator: 'cats' })).toThrow(/"cats"/)
  expect(() => paymentsOptions({ ...descriptor, users: 0 })).toThrow(
    /users is 0; it must be a whole number, at least 1/,
  )
})
