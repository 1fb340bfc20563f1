import { WeirError, attempt, generation, jobId } from '@weir/model'
import { ManualClock } from '@weir/model/testing'
import { expect, test } from 'vitest'
import { ContinuousCommitter } from './continuous-committer.ts'

const split = 0
async function committer(commit: (sequence: number) => Promise<void>) {
  const clock = new ManualClock()
  const one = new ContinuousCommitter(
    { jobId: jobId('j'), attempt: { generation: generation(1), attempt: attempt(1) }, intervalMs: 20 },
    { clock, commit },
  )
  const heard: string[] = []
  one.onTransaction({
    sealed: (sequence) => heard.push(`sealed ${sequence}`),
    committed: (sequence) => heard.push(`committed ${sequence}`),
  })
  const resume = { kind: 'begin' } as const
  await one.begin(new Map([[split, { start: { offset: '0', end: null }, resume }]]))
  return { one, heard, clock }
}
const settled = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await Promise.resolve()
}

test('a listener hears of each transaction when it is sealed and when it is committed', async () => {
  const { one, heard, clock } = await committer(() => Promise.resolve())
  one.wrote()
  one.advance([{ split, offset: 1, ended: false }])
  await settled()
  expect(heard).toEqual(['sealed 2', 'committed 2']) // the first one was of the beginning
  one.wrote()
  one.advance([{ split, offset: 2, ended: false }])
  expect(heard).toHaveLength(2)
  clock.advance(20)
  await settled()
  expect(heard.slice(2)).toEqual(['sealed 3', 'committed 3'])
})

test('one that is refused is never told as committed', async () => {
  const { one, heard } = await committer((sequence) =>
    sequence === 1 ? Promise.resolve() : Promise.reject(new WeirError({ code: 'X', kind: 'fenced' }, 'no')),
  )
  one.onFailure(() => {})
  one.wrote()
  one.advance([{ split, offset: 1, ended: false }])
  await settled()
  expect(heard).toEqual(['sealed 2'])
})
