import { expect, test } from 'vitest'
import { decideOutcome } from './outcome.ts'

test.each([
  ['commit', null, 'committed'],
  ['commit', 0, 'committed'],
  ['abort', 4, 'lost'],
  ['abort', 5, 'committed'], // healed by a recovery before this one
  ['abort', 3, 'unknown'], // A14: somebody moved the marker; healing could write it twice
  ['abort', null, 'unknown'],
  ['none', 9, 'unknown'],
  ['gone', 5, 'committed'],
  ['gone', 4, 'lost'],
  ['gone', 3, 'unknown'], // A14: only the sequence just before it is a positive proof
  ['gone', null, 'unknown'], // A14: absence is not proof of abort
] as const)('control record %s, marker %s: transaction 5 is %s', (control, marker, kind) => {
  expect(decideOutcome({ control, marker, sequence: 5 }).kind).toBe(kind)
})
