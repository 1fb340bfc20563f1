import { expect, test } from 'vitest'
import { eventsIn } from './server-events.ts'

test('events cut anywhere, comments, data of several lines', async () => {
  const text = ': heartbeat\n\nevent: notice\nid: 3-1\ndata: {"a":\ndata: "ü"}\n\ndata: x\n\nevent: cut'
  const bytes = Buffer.from(text)
  async function* slowly(): AsyncGenerator<Uint8Array> {
    for (const byte of bytes) yield await Promise.resolve(Uint8Array.of(byte))
  }
  const events = []
  for await (const event of eventsIn(slowly())) events.push(event)
  expect(events).toEqual([
    { id: '3-1', type: 'notice', data: '{"a":\n"ü"}' },
    { id: '', type: 'message', data: 'x' },
  ])
})
