import type { SegmentRef } from '@weir/dataflow'
import { expect, test } from 'vitest'
import { Chain } from './chain.ts'

const SUM = new Set(['sum'])

/** Epochs of a state of 100 rows, each with as many of them changed. A row has a byte. */
async function kindsOf(
  epochs: readonly number[],
  { chainRatioMax = 1, chainLengthMax = 100, few = false } = {},
): Promise<string> {
  const chain = new Chain({ writer: '0/1', chainLengthMax, chainRatioMax })
  const kinds: string[] = []
  for (const changed of epochs) {
    await chain.append(SUM, few ? null : { all: 100, changed }, (kind) => {
      kinds.push(kind)
      const entries = kind === 'base' ? 100 : changed
      return Promise.resolve({ key: `${kinds.length}`, kind, entries, bytes: entries } as SegmentRef)
    })
  }
  return kinds.join(' ')
}

test('an epoch that changes most rows is a base; one that changes half of them is where a folding would be due behind its delta', async () => {
  expect(await kindsOf([100, 80, 80])).toBe('base base base')
  expect(await kindsOf([100, 79, 79, 79, 79])).toBe('base delta base delta base')
  expect(await kindsOf([100, 50, 50, 50, 50])).toBe('base delta base delta base')
  expect(await kindsOf([100, 49, 49, 49])).toBe('base delta delta delta') // folded beside the next ones
})

test('deltas before count, and how many a chain may have', async () => {
  expect(await kindsOf([100, 20, 19, 50])).toBe('base delta delta delta') // 89 of 100: not near yet
  expect(await kindsOf([100, 20, 20, 50])).toBe('base delta delta base')
  expect(await kindsOf([100, 60, 60, 60, 60], { chainRatioMax: 2 })).toBe('base delta delta base delta')
  expect(await kindsOf([100, 9, 9, 50], { chainLengthMax: 3 })).toBe('base delta delta base')
})

test('where no base may be written in the place of a delta, none is', async () => {
  expect(await kindsOf([100, 100, 100], { few: true })).toBe('base delta delta')
})
