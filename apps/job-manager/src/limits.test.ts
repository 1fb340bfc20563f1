/** What a job-manager takes at once and at most, over real gRPC: each bound, and that what is refused leaves room again. */
import { ChannelCredentials, Metadata, type ClientWritableStream } from '@grpc/grpc-js'
import { defaultSettings } from '@weir/dataflow'
import { sha256 } from '@weir/metadata'
import { jobs } from '@weir/proto'
import { JobsClient, fromServiceError } from '@weir/wire'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { UPLOADS_MAX } from './grpc.controller.ts'
import { testManager, type TestManager } from './rest/testing.ts'

let fleet: TestManager
let client: JobsClient
let raw: InstanceType<typeof jobs.JobsClient>
beforeAll(async () => {
  fleet = await testManager()
  client = new JobsClient([fleet.grpc], { token: null })
  raw = new jobs.JobsClient(fleet.grpc, ChannelCredentials.createInsecure())
})
afterAll(async () => {
  client.close()
  raw.close()
  await fleet.close()
})

const bytes = Buffer.from('export default {}')
const digest = sha256(bytes)

/** An upload that has begun; `answer` is its code, or `stored`. */
function upload(): { readonly call: ClientWritableStream<jobs.BundleChunk>; readonly answer: Promise<string> } {
  let call!: ClientWritableStream<jobs.BundleChunk>
  const answer = new Promise<string>((resolve) => {
    call = raw.uploadBundle(new Metadata(), (error) =>
      resolve(error === null ? 'stored' : fromServiceError(error, fleet.grpc).code),
    )
  })
  call.on('error', () => undefined)
  call.write({ digest, data: bytes, signature: '' })
  return { call, answer }
}

test('so many uploads are held in memory at once; the next is refused until one has ended, also one that broke off', async () => {
  const open = Array.from({ length: UPLOADS_MAX }, upload)
  // Streams of one connection may be taken up in any order: one too many is refused, whichever it is.
  const more = upload()
  expect(await Promise.race([more, ...open].map(({ answer }) => answer))).toBe('UPLOADS_BUSY')
  for (const { call } of [...open, more]) call.cancel()
  await expect
    .poll(
      () =>
        client.uploadBundle(digest, bytes).then(
          ({ digest: of }) => of,
          () => '',
        ),
      { timeout: 20_000 },
    )
    .toBe(digest)
})

const submission = (plan: Buffer) => ({
  ...{ jobId: 'j', name: 'j', bundleDigest: digest, graphHash: 'g', plan },
})

test('a plan larger than 1 MiB is refused, one that is none too', async () => {
  await client.uploadBundle(digest, bytes)
  const plan = { version: 1, settings: defaultSettings, nodes: [], note: 'x'.repeat(1 << 20) }
  const large = client.submit(submission(Buffer.from(JSON.stringify(plan))))
  await expect(large).rejects.toMatchObject({
    code: 'PLAN_INVALID',
    message: expect.stringContaining('1048576') as string,
  })
  await expect(client.submit(submission(Buffer.from('{')))).rejects.toMatchObject({ code: 'PLAN_INVALID' })
})
