/** A fleet that runs signed bundles only, over gRPC with certificates: what a tool is told. */
import { sha256, signBundle } from '@weir/metadata'
import { JobsClient } from '@weir/wire'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestAuthority } from '../../../libs/wire/src/tls/testing.ts'
import { testManager, type TestManager } from './rest/testing.ts'

const bytes = Buffer.from('export default {}')
const digest = sha256(bytes)
let fleet: TestManager
let client: JobsClient
let key: string
const authority = new TestAuthority('fleet')

beforeAll(async () => {
  const dir = await mkdtemp(join(tmpdir(), 'weir-signed-'))
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  key = join(dir, 'key.pem')
  await writeFile(key, privateKey.export({ format: 'pem', type: 'pkcs8' }))
  await writeFile(join(dir, 'key.pub'), publicKey.export({ format: 'pem', type: 'spki' }))
  const { certificate, key: tlsKey, ca } = authority.issue()
  fleet = await testManager({
    WEIR_BUNDLE_KEYS: join(dir, 'key.pub'),
    ...{ WEIR_TLS_CERT: certificate, WEIR_TLS_KEY: tlsKey, WEIR_TLS_CA: ca },
  })
  client = new JobsClient([fleet.grpc], { token: null, tls: authority.issue() })
})
afterAll(async () => {
  client.close()
  await fleet.close()
})

test('a bundle without a signature is not stored, one with another signature neither, a signed one is', async () => {
  await expect(client.uploadBundle(digest, bytes)).rejects.toMatchObject({ code: 'BUNDLE_UNSIGNED' })
  const other = signBundle(sha256(Buffer.from('other')), key)
  await expect(client.uploadBundle(digest, bytes, other)).rejects.toMatchObject({ code: 'BUNDLE_SIGNATURE_REFUSED' })
  const tampered = client.uploadBundle(digest, Buffer.from('export default 1'), signBundle(digest, key))
  await expect(tampered).rejects.toMatchObject({ code: 'BUNDLE_DIGEST_MISMATCH' })
  expect(await client.uploadBundle(digest, bytes, signBundle(digest, key))).toEqual({ digest, alreadyThere: false })
})

test('a tool without a certificate reaches nobody', async () => {
  const without = new JobsClient([fleet.grpc], { token: null })
  await expect(without.list()).rejects.toMatchObject({ code: 'JOB_MANAGER_UNREACHABLE' })
  without.close()
  expect(await client.list()).toEqual([])
})

test('a bundle larger than the bound is refused while it comes', async () => {
  const large = Buffer.alloc((32 << 20) + 1)
  await expect(client.uploadBundle(sha256(large), large)).rejects.toMatchObject({ code: 'BUNDLE_TOO_LARGE' })
})

test('a body larger than the bound is refused', async () => {
  const answer = await fetch(`${fleet.url}/api/v1/jobs/a/savepoints`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
    body: JSON.stringify({ name: 'x'.repeat(2 << 20) }),
  })
  expect([answer.status, await answer.json()]).toMatchObject([413, { code: 'BODY_TOO_LARGE' }])
})
