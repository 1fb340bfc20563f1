import type { JobsClient } from '@weir/wire'
import { expect, test } from 'vitest'
import { takeSavepoint } from './savepoint.ts'

test('a job that is STOPPED between two questions has its savepoint: of one that is over the list is the last word', async () => {
  let questions = 0
  const isOver = (): boolean => ++questions > 1 // it stops behind the first question, whichever that is
  const view = { name: 'cut', state: 'IN_PROGRESS', stopped: true, takenAt: 0, error: '' }
  const client = {
    takeSavepoint: () => Promise.resolve(view),
    listSavepoints: () => Promise.resolve([{ ...view, state: isOver() ? 'COMPLETE' : 'IN_PROGRESS' }]),
    get: () => Promise.resolve({ jobId: 'j', state: isOver() ? 'STOPPED' : 'STOPPING', error: '' }),
  }
  const printed: string[] = []
  const of = { jobId: 'j', name: 'cut', stop: true, wait: true }
  const code = await takeSavepoint(client as unknown as JobsClient, of, (_, text) => printed.push(text))
  expect([code, printed]).toEqual([0, [expect.stringContaining('j is STOPPED, savepoint cut') as string]])
})
