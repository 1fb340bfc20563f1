/** The degrade switch as a job's functions ask it, in each context that has it. */
import { expect, test } from 'vitest'
import { job, json, kafka, type ExecuteContext, type ResumableOperator } from '../index.ts'
import { testJob } from './index.ts'

const numbers = kafka.topic('numbers', { value: json<number>(), timestamp: (n) => n })
class Marking implements ResumableOperator<string, string> {
  prepare(): void {}
  execute(value: string, { degraded, emit }: ExecuteContext<string>): void {
    emit(`${value} ${degraded}`)
  }
  snapshotState(): readonly never[] {
    return []
  }
  restoreState(): void {}
}
const marking = job('marking', { degradable: true }, (flow) => {
  flow
    .from(numbers)
    .map((n, { degraded }) => `${n} ${degraded}`)
    .asyncMap('call', (text, { degraded }) => Promise.resolve(`${text} ${degraded}`))
    .keyBy((text) => text.split(' ')[0]!)
    .process('keyed', { onRecord: ({ degraded }, text, out) => out.emit(`${text} ${degraded}`) })
    .process('own', () => new Marking())
    .to(kafka.sink('out'))
})
const values = (t: ReturnType<typeof testJob>): unknown[] => t.output('out').map(({ value }) => value)

test("functions, calls, keyed processes and operators of one's own ask the same switch", async () => {
  await using t = testJob(marking, { parallelism: 2 })
  await t.feed('numbers', [1])
  await t.degrade(true)
  await t.feed('numbers', [2])
  await t.degrade(false)
  await t.feed('numbers', [3])
  expect(values(t)).toEqual(['1 false false false false', '2 true true true true', '3 false false false false'])
})

test('a restart, also at another parallelism, reads again with the switch as it stood', async () => {
  await using t = testJob(marking)
  await t.degrade(true)
  await t.feed('numbers', [1])
  await t.restart({ parallelism: 3 })
  expect(values(t)).toEqual(['1 true true true true'])
})

test('a job without one says so', async () => {
  const plain = job('plain', (flow) => {
    flow
      .from(numbers)
      .map((n, { degraded }) => `${n} ${degraded}`)
      .to(kafka.sink('out'))
  })
  await using t = testJob(plain)
  await expect(t.degrade(true)).rejects.toMatchObject({ code: 'JOB_NOT_DEGRADABLE' })
  await expect(t.feed('numbers', [1])).rejects.toThrow(/degradable: true/)
})
