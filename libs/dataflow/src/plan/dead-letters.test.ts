import { expect, test } from 'vitest'
import { thrown } from '../operators/fixture.ts'
import { line, node, settlement, withDeadLetters } from '../planner.fixture.ts'
import { planJob } from '../planner.ts'

test('dead letters of every stage lead to a sink; a record has had no effect up to the first branch or fold', () => {
  const { deadLetters } = planJob(withDeadLetters(settlement()))
  expect(deadLetters!.routes).toEqual([{ output: 0 }, { sink: 4 }])
  expect(deadLetters!.whole).toEqual([true, true, true, false, false, false, false])
  expect(planJob(settlement()).deadLetters).toBeNull()
})

test('on one line a record that fails in a fold or in the sink behind a filter has had no effect yet', () => {
  const job = line(node.source('a'), node.filter('b'), node.keyBy('c'), node.reduce('d'), node.sink('e'))
  expect(planJob(withDeadLetters(job)).deadLetters!.whole).toEqual([true, true, true, true, false])
})

test.each([
  ['no topic', withDeadLetters(settlement(), 'kafka', ''), 'name a topic'],
  ['the topic of a sink', withDeadLetters(settlement(), 'kafka', 'counts'), 'sink "counts" uses this topic too'],
  ['the topic of a source', withDeadLetters(settlement(), 'kafka', 'orders'), 'source "orders" uses this topic too'],
  ['no sink of the connector', withDeadLetters(settlement(), 'log'), 'no sink behind "orders" writes to log'],
])('dead letters are refused: %s', (_, job, text) => {
  const error = thrown(() => planJob(job))
  expect(error).toMatchObject({ code: 'DEAD_LETTERS_INVALID', kind: 'invalid' })
  expect(error.message).toContain(text)
})
