import { expect, test } from 'vitest'
import { JOB_PARTS, jobHash, placeOf } from './pages.ts'

test('every part of a job has a hash that leads back to it', () => {
  for (const part of JOB_PARTS)
    for (const id of ['orders', 'a b/c', 'ä%']) expect(placeOf(jobHash(id, part))).toEqual({ page: 'job', id, part })
})

test.each([
  ['', 'jobs'],
  ['#/', 'jobs'],
  ['#/task-managers', 'task-managers'],
  ['#/audit', 'audit'],
  ['#/jobs/orders/nothing-there', 'jobs'],
  ['#/jobs/%E0%A4%A', 'jobs'],
])('%s is the page of %s', (hash, page) => expect(placeOf(hash)).toEqual({ page }))
