import type { Pgoutput } from 'pg-logical-replication'
import { expect, test } from 'vitest'
import { ChangeStream, lsnOf, lsnText, type ChangePosition } from './changes.ts'

const start: ChangePosition = { lsn: '0/100', transaction: null, changes: 0, offset: 0, end: null }
const relation = { schema: 's', name: 't' } as Pgoutput.MessageRelation
/** A transaction whose commit record is at `c` and ends at `e`, as the server sends it. */
const transaction = (c: string, e: string, ...ids: number[]): Pgoutput.Message[] => [
  { tag: 'begin', commitLsn: c, commitTime: 1_750_000_000_000_000n, xid: 1 },
  ...ids.map((id) => ({ tag: 'insert' as const, relation, new: { id } })),
  { tag: 'commit', flags: 0, commitLsn: c, commitEndLsn: e, commitTime: 0n },
]
const two = [...transaction('0/200', '0/230', 1, 2, 3), ...transaction('0/230', '0/260', 4, 5)]
/** Ids of the changes, and the position behind each. */
function read(position: ChangePosition, messages: readonly Pgoutput.Message[]): [unknown, ChangePosition][] {
  const stream = new ChangeStream(position)
  return messages.flatMap((message): [unknown, ChangePosition][] => {
    const step = stream.accept(message)
    if (step === null || step.type === 'end') return []
    return [[step.type === 'change' ? step.change.after!['id'] : 'end of', step.position]]
  })
}
const names = (steps: readonly [unknown, ChangePosition][]): unknown[] => steps.map(([name]) => name)

test('whole transactions move the position to their ends', () => {
  const steps = read(start, two)
  expect(names(steps)).toEqual([1, 2, 3, 'end of', 4, 5, 'end of'])
  expect(steps.at(-1)![1]).toEqual({ lsn: '0/260', transaction: null, changes: 0, offset: 5, end: null })
})

test('read again from any position, everything behind it comes and nothing in front', () => {
  const steps = read(start, two)
  steps.forEach(([, position], i) => {
    const stored = JSON.parse(JSON.stringify(position)) as ChangePosition
    expect(names(read(stored, two)).filter((n) => n !== 'end of')).toEqual(
      names(steps.slice(i + 1)).filter((n) => n !== 'end of'),
    )
  })
})

test('a transaction that commits exactly where the one before it ended is not skipped', () => {
  const [, position] = read(start, two)[3]!
  expect(position.lsn).toBe('0/230')
  expect(names(read(position, two))).toEqual([4, 5, 'end of'])
})

test('what the server says it has sent moves an idle position, and no other', () => {
  const stream = new ChangeStream(start)
  expect(stream.heard(lsnOf('0/180'))).toMatchObject({ position: { lsn: '0/180' } })
  expect(stream.heard(lsnOf('0/150'))).toBeNull()
  stream.accept(two[0]!)
  expect(stream.heard(lsnOf('0/300'))).toBeNull()
  stream.accept(two[1]!)
  expect(stream.heard(lsnOf('0/300'))).toBeNull()
})

test('a bounded stream ends in front of the first transaction behind its end, or when the server is past it', () => {
  const bounded = { ...start, end: '0/230' }
  const stream = new ChangeStream(bounded)
  const steps = two.map((message) => stream.accept(message)?.type ?? null)
  expect(steps).toEqual([null, 'change', 'change', 'change', 'moved', 'end', null, null, null])
  expect(new ChangeStream(bounded).heard(lsnOf('0/230'))).toEqual({ type: 'end' })
  expect(new ChangeStream(bounded).heard(lsnOf('0/22F'))?.type).toBe('moved')
})

test('LSNs are written as PostgreSQL does', () => {
  expect(['00000000/016B3748', 'A/0', 'FFFFFFFF/FFFFFFFF'].map((text) => lsnText(lsnOf(text)))).toEqual([
    '0/16B3748',
    'A/0',
    'FFFFFFFF/FFFFFFFF',
  ])
  for (const wrong of ['', '0', 'x/1', 7, null]) {
    expect(() => lsnOf(wrong)).toThrow(expect.objectContaining({ code: 'POSITION_INVALID' }) as Error)
  }
})
