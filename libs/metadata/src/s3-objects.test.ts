/** Answers of an object store that end early, or never: none of them passes for an object. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { S3ObjectStore } from './s3-objects.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

/** Every request gets this answer, byte for byte. */
async function answering(head: readonly string[], body: string, ends = true): Promise<S3ObjectStore> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => {
      socket.write([...head, 'ETag: "x"', '', body].join('\r\n'))
      if (ends) socket.end()
      else closing.push(() => socket.destroy())
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const store = new S3ObjectStore({
    ...{ endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', bucket: 'b', prefix: '', requestTimeoutMs: 200 },
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
  })
  closing.push(
    () => new Promise((resolve) => server.close(resolve)),
    () => store.close(),
  )
  return store
}

test.each([
  ['with a length', ['HTTP/1.1 200 OK', 'Content-Length: 100'], 'half'],
  ['in chunks', ['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'], '4\r\nhalf\r\n'],
  ['with a checksum', ['HTTP/1.1 200 OK', 'Content-Length: 4', 'x-amz-checksum-crc32: AAAAAA=='], 'half'],
])('a body that ends early, %s, is none', async (_, head, body) => {
  const store = await answering(head, body)
  await expect(store.get('k')).rejects.toMatchObject({ code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry' })
})

test('a body that stops coming is given up', async () => {
  const store = await answering(['HTTP/1.1 200 OK', 'Content-Length: 100'], 'half', false)
  await expect(store.get('k')).rejects.toMatchObject({ code: 'OBJECT_STORE_UNAVAILABLE', kind: 'retry' })
})

test.each([
  ['shorter than it says', ['HTTP/1.1 206 Partial Content', 'Content-Range: bytes 6-15/100']],
  ['short, and consistent', ['HTTP/1.1 206 Partial Content', 'Content-Range: bytes 6-9/100']],
  ['of other bytes', ['HTTP/1.1 206 Partial Content', 'Content-Range: bytes 0-3/100']],
  ['of the whole object', ['HTTP/1.1 200 OK']],
])('a range that is %s is not the end of the object', async (_, head) => {
  const store = await answering([...head, 'Content-Length: 4'], 'half')
  await expect(store.readRange('k', 6, 16)).rejects.toMatchObject({
    ...{ code: 'OBJECT_TRUNCATED', kind: 'retry' },
    facts: { objectKey: 'k', bytes: 4, expected: 10 },
  })
})

test('a range at the end of the object is as long as what is there', async () => {
  const head = ['HTTP/1.1 206 Partial Content', 'Content-Range: bytes 6-9/10', 'Content-Length: 4']
  const store = await answering(head, 'half')
  expect(Buffer.from((await store.readRange('k', 6, 16))!).toString()).toBe('half')
})
