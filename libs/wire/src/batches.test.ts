import { expect, test } from 'vitest'
import { BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, Outbox } from './batches.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
function outbox() {
  const sent: (readonly number[])[] = []
  return {
    sent,
    out: new Outbox<number>(
      (messages) => sent.push(messages),
      (bytes) => bytes,
    ),
  }
}

test('what is written in one turn is sent once and in order, what comes later is another batch', async () => {
  const { sent, out } = outbox()
  for (const message of [1, 2, 3]) out.write(message)
  expect(sent).toEqual([])
  await turn()
  out.write(4)
  await turn()
  expect(sent).toEqual([[1, 2, 3], [4]])
})

test('a batch has bounds in messages and in bytes, and what is larger travels alone', async () => {
  const { sent, out } = outbox()
  for (let i = 0; i <= BATCH_MESSAGES_MAX; i++) out.write(0)
  for (const bytes of [BATCH_BYTES_MAX - 1, 1, 1, BATCH_BYTES_MAX + 1, 1]) out.write(bytes)
  await turn()
  expect(sent.slice(1)).toEqual([[0, BATCH_BYTES_MAX - 1, 1], [1], [BATCH_BYTES_MAX + 1], [1]])
  expect(sent[0]).toHaveLength(BATCH_MESSAGES_MAX)
})

test('after clear nothing is sent', async () => {
  const { sent, out } = outbox()
  out.write(1)
  out.clear()
  await turn()
  expect(sent).toEqual([])
})
