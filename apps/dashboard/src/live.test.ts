import { expect, test } from 'vitest'
import { allJobs, framesIn, oneJob, said, type LiveEvent } from './live.ts'

const event = (event: string, data: unknown): LiveEvent => ({ event, id: '1-1', data })

test('a stream is read frame by frame, wherever it is cut, and comments say nothing', () => {
  const text =
    'retry: 1000\nevent: job\nid: 1-2\ndata: {"a":"x: y"}\n\n: heartbeat\n\nevent: notice\nid: 1-3\ndata: [1]\n\n'
  const whole = [
    { event: 'job', id: '1-2', data: { a: 'x: y' } },
    { event: 'notice', id: '1-3', data: [1] },
  ]
  for (let cut = 0; cut <= text.length; cut++) {
    const first = framesIn(text.slice(0, cut))
    const second = framesIn(first.rest + text.slice(cut))
    expect([...first.events, ...second.events]).toEqual(whole)
    expect(second.rest).toBe('')
  }
})

test('of one job the newest event of a thing counts, and nothing does before the first snapshot', () => {
  expect(oneJob(undefined, event('job', { jobId: 'a' }))).toBeUndefined()
  const checkpoints = [
    { epoch: 1, status: 'final' },
    { epoch: 2, status: 'in-progress' },
  ]
  const seen = [
    event('snapshot', { job: { jobId: 'a', state: 'RUNNING' }, checkpoints }),
    event('checkpoint', { epoch: 2, status: 'published' }),
    event('checkpoint', { epoch: 3, status: 'in-progress' }),
    event('notice', { at: 1, channel: 'weir:job:state', jobId: 'a', message: { state: 'FAILED' } }),
    event('job', { jobId: 'a', state: 'FAILED' }),
  ].reduce(oneJob, undefined)
  expect(seen).toMatchObject({
    job: { state: 'FAILED' },
    checkpoints: [
      { epoch: 3, status: 'in-progress' },
      { epoch: 2, status: 'published' },
      { epoch: 1, status: 'final' },
    ],
    notices: [{ channel: 'weir:job:state' }],
  })
  // The next leader's snapshot is the truth; what was heard before it stays.
  const next = oneJob(seen, event('snapshot', { job: { jobId: 'a', state: 'RUNNING' }, checkpoints: [] }))
  expect(next).toMatchObject({ job: { state: 'RUNNING' }, checkpoints: [], notices: [{ jobId: 'a' }] })
  expect(said(next!.notices[0]!)).toBe('job state, state FAILED')
})

test('jobs stand in order of their ids, each once', () => {
  const seen = [
    event('snapshot', { jobs: [{ jobId: 'a' }, { jobId: 'c' }], taskManagers: [] }),
    event('job', { jobId: 'b' }),
    event('job', { jobId: 'c', state: 'FAILED' }),
    event('task-managers', [{ pod: 'p' }]),
  ].reduce(allJobs, undefined)
  expect(seen).toEqual({
    jobs: [{ jobId: 'a' }, { jobId: 'b' }, { jobId: 'c', state: 'FAILED' }],
    taskManagers: [{ pod: 'p' }],
  })
})
