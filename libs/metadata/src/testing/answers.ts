/** What every store of answers does. */
import { expect, test } from 'vitest'
import type { AnswerStore } from '../answer-store.ts'

/** `open`: an empty one. */
export function answerStoreContract(open: () => AnswerStore | Promise<AnswerStore>): void {
  test('the first one under a key wins, and what it wrote is found', async () => {
    const store = await open()
    expect(await store.get('k')).toBeNull()
    const [one, other] = await Promise.all([store.swap('k', 'one', null), store.swap('k', 'other', null)])
    const winner = one ?? other
    expect([one, other]).toContain(null)
    expect(await store.get('k')).toEqual(winner)
  })

  test('a text changes from the revision that is there only', async () => {
    const store = await open()
    const first = (await store.swap('k', 'begun', null))!
    const second = (await store.swap('k', 'answered', first.revision))!
    expect(await store.swap('k', 'late', first.revision)).toBeNull()
    await store.delete('k', first.revision)
    expect(await store.get('k')).toEqual({ text: 'answered', revision: second.revision })
    await store.delete('k', second.revision)
    expect(await store.get('k')).toBeNull()
  })
}
