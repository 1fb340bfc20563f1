import { ManualClock } from '@weir/model/testing'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { REDIS_ANSWER_MS_MAX, RedisLink } from './redis-link.ts'
import { redisAddress } from './redis-url.ts'

test('a server that takes the connection and says nothing, as a frozen one does, is left and connected to again', async () => {
  const sockets: Socket[] = []
  const server = createServer((socket) => sockets.push(socket.on('error', () => {}))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const clock = new ManualClock()
  const link = new RedisLink(redisAddress(`redis://127.0.0.1:${(server.address() as AddressInfo).port}`), clock)
  while (sockets.length < 2) {
    clock.advance(REDIS_ANSWER_MS_MAX)
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { signal } = new AbortController()
  await expect(link.call('get', ['a'], signal)).rejects.toMatchObject({ code: 'CLAIM_TIER_UNAVAILABLE', kind: 'retry' })
  await link.close()
  for (const socket of sockets) socket.destroy()
  server.close()
})
