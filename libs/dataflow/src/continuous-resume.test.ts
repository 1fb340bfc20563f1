import { generation, jobId } from '@weir/model'
import { expect, test } from 'vitest'
import { encodeMark, resumeSplit, type CommitMark, type SplitFound } from './continuous-resume.ts'
import { thrown } from './operators/fixture.ts'

const at = (offset: number, end: number | null = null) => ({
  offset: String(offset),
  end: end === null ? null : String(end),
})
const mark = (over: Partial<CommitMark> = {}): CommitMark => ({
  job: jobId('fees'),
  generation: generation(3),
  seq: 7,
  start: at(40),
  ended: false,
  ...over,
})
const found = (over: Partial<SplitFound>): SplitFound => ({
  job: jobId('fees'),
  generation: generation(4),
  group: 'weir.fees.payments',
  topic: 'payments',
  split: 2,
  restored: null,
  committed: null,
  ...over,
})
const committed = (offset: number, of: Partial<CommitMark> = {}) => ({ offset, metadata: encodeMark(mark(of)) })

test('neither checkpoint nor commit: the split begins', () => {
  expect(resumeSplit(found({}))).toEqual({ kind: 'begin' })
})

test.each([
  ['k above c', 100, 130],
  ['k at c: drained', 100, 100],
])('%s: replayed from the checkpoint to the committed offset', (_, c, k) => {
  expect(resumeSplit(found({ restored: at(c), committed: committed(k) }))).toEqual({
    kind: 'replay',
    from: at(c),
    until: k,
    mark: mark(),
  })
})

test('state taken over from another job: output begins at c; what is committed since counts as ever', () => {
  const takenOver = { restored: at(100), takenOver: true }
  expect(resumeSplit(found(takenOver))).toEqual({ kind: 'begin', from: at(100) })
  expect(resumeSplit(found({ ...takenOver, committed: committed(130, { start: at(100) }) }))).toMatchObject({
    ...{ kind: 'replay', from: at(100), until: 130 },
  })
})

test('no checkpoint yet: replayed from where the job began to read', () => {
  expect(resumeSplit(found({ committed: committed(55) }))).toMatchObject({ kind: 'replay', from: at(40), until: 55 })
})

test.each([
  ['no committed offset', null, 'COMMITTED_OFFSET_MISSING'],
  ['k below c', committed(99), 'COMMITTED_OFFSET_BEHIND'],
  ['an offset somebody has set, without metadata', { offset: 120, metadata: null }, 'COMMITTED_OFFSET_FOREIGN'],
  ['metadata of another tool', { offset: 120, metadata: 'v1:reset' }, 'COMMITTED_OFFSET_FOREIGN'],
  ['metadata that is JSON and not a mark', { offset: 120, metadata: '{"job":"fees"}' }, 'COMMITTED_OFFSET_FOREIGN'],
  ['JSON null', { offset: 120, metadata: 'null' }, 'COMMITTED_OFFSET_FOREIGN'],
  ['the mark of another job', committed(120, { job: jobId('fees-2') }), 'COMMITTED_OFFSET_FOREIGN'],
])('%s is refused with what stands where', (_, k, code) => {
  const error = thrown(() => resumeSplit(found({ restored: at(100), committed: k })))
  expect(error).toMatchObject({
    code,
    kind: 'invalid',
    facts: { group: 'weir.fees.payments', topic: 'payments', partition: 2, checkpoint: '100', committed: k },
  })
})

test('an offset somebody has set is refused without a checkpoint too', () => {
  const error = thrown(() => resumeSplit(found({ committed: { offset: 0, metadata: '' } })))
  expect(error.code).toBe('COMMITTED_OFFSET_FOREIGN')
})

test('a newer generation has committed: this one is fenced', () => {
  const error = thrown(() =>
    resumeSplit(found({ restored: at(1), committed: committed(5, { generation: generation(5) }) })),
  )
  expect(error).toMatchObject({ code: 'GENERATION_SUPERSEDED', kind: 'fenced' })
})
