import { ClassicLevel } from 'classic-level'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ANSWERS_MAX, ANSWER_TTL_SECONDS, EmbeddedAnswerStore } from './answer-store.ts'
import { answerStoreContract } from './testing/answers.ts'

const database = async () => new ClassicLevel<string, string>(await mkdtemp(join(tmpdir(), 'weir-answers-')))

describe('answers in a folder', () => {
  answerStoreContract(async () => new EmbeddedAnswerStore(await database(), () => 0))

  test('are forgotten after their time, which a change does not make longer, and make room', async () => {
    let now = 0
    const db = await database()
    const store = new EmbeddedAnswerStore(db, () => now)
    const begun = (await store.swap('0', 'begun', null))!
    const row = await db.get('answer/0')
    await db.batch(
      Array.from({ length: ANSWERS_MAX - 1 }, (_, i) => ({ type: 'put', key: `answer/${i + 1}`, value: row! })),
    )
    await expect(store.swap('one-more', 'x', null)).rejects.toMatchObject({ code: 'ANSWERS_FULL', kind: 'retry' })
    now = (ANSWER_TTL_SECONDS - 1) * 1_000
    await store.swap('0', 'answered', begun.revision)
    now += 1_000
    expect(await store.get('0')).toBeNull()
    expect(await store.swap('one-more', 'x', null)).not.toBeNull()
    expect((await db.keys().all()).length).toBe(1)
  })
})
