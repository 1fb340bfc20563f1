/** A job with a secret in its plan, as a tool of another version might send it: refused, or told of, and never recorded. */
import { sha256 } from '@weir/metadata'
import { JobsClient } from '@weir/wire'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { defaultSettings } from '@weir/dataflow'
import { testManager, type TestManager } from './rest/testing.ts'

const SECRET = 'hunter2hunter2'
const bytes = Buffer.from('export default {}')
const digest = sha256(bytes)
const plan = (url: string) => ({
  ...{ version: 1, name: 'j', settings: defaultSettings, stages: 1, sources: [], sinks: ['rows'], edges: [] },
  nodes: [{ uid: 'rows', kind: 'sink', config: { descriptor: { connector: 'postgres', url } }, stage: 0 }],
})
let fleet: TestManager
let client: JobsClient
async function start(env: Record<string, string>): Promise<string> {
  const audit = join(tmpdir(), `weir-audit-${process.pid}-${Math.random()}.ndjson`)
  fleet = await testManager({ ...env, WEIR_AUDIT_FILE: audit })
  client = new JobsClient([fleet.grpc], { token: null })
  await client.uploadBundle(digest, bytes)
  return audit
}
const submit = (url: string): Promise<{ notes: readonly string[] }> =>
  client.submit({
    ...{ jobId: 'j', name: 'j', bundleDigest: digest, graphHash: 'g', from: '', allowDroppedState: [] },
    ...{ acceptRepeatedOutput: false, plan: Buffer.from(JSON.stringify(plan(url))) },
  })
afterEach(async () => {
  client.close()
  await fleet.close()
})

test('it is refused, naming where it stands; neither the answer nor the audit log has it', async () => {
  const audit = await start({})
  const refused = await submit(`postgres://ada:${SECRET}@host/db`).then(undefined, (error: unknown) => error)
  expect(refused).toMatchObject({ code: 'PLAIN_SECRET', facts: { places: ['sink "rows": descriptor.url'] } })
  expect(JSON.stringify(refused)).not.toContain(SECRET)
  expect(await readFile(audit, 'utf8')).toMatch(/PLAIN_SECRET/)
  expect(await readFile(audit, 'utf8')).not.toContain(SECRET)
  await expect(submit('env:DATABASE_URL')).resolves.toMatchObject({ notes: [] })
})

test('where the policy lets it pass, whoever submits is told', async () => {
  await start({ WEIR_PLAIN_SECRETS: 'warn' })
  const { notes } = await submit(`postgres://ada:${SECRET}@host/db`)
  expect(notes).toEqual([expect.stringMatching(/sink "rows": descriptor\.url.*env:NAME or file:/)])
})
