/** Nothing is asked of a fleet that has not come together yet. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { untilReady } from './check-grpc.mjs'

let server: Server
afterEach(() => server.close())

/** Which is not ready before it has been asked so often. */
async function process(askedBefore: number): Promise<{ ready: { http: string }; asked: () => number }> {
  let asked = 0
  server = createServer(({ url }, answer) => {
    asked++
    answer.writeHead(url === '/readyz' && asked > askedBefore ? 200 : 503).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { ready: { http: `127.0.0.1:${port}` }, asked: () => asked }
}

test('a process that listens and has not joined is waited for', async () => {
  const joining = await process(2)
  await untilReady([joining])
  expect(joining.asked()).toBe(3)
})

test('not for ever', async () => {
  await expect(untilReady([await process(Infinity)], 200)).rejects.toThrow(/timeout|aborted/)
})
