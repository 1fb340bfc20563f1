import { digest } from '@weir/model'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { requireSignature, signBundle, trustedKeys } from './bundle-signature.ts'

const dir = mkdtempSync(join(tmpdir(), 'weir-keys-'))
const OF = digest('a'.repeat(64))
const OTHER = digest('b'.repeat(64))

/** @returns paths of the private and the public key */
function pair(name: string): readonly [string, string] {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const files = [join(dir, `${name}.pem`), join(dir, `${name}.pub`)] as const
  writeFileSync(files[0], privateKey.export({ format: 'pem', type: 'pkcs8' }))
  writeFileSync(files[1], publicKey.export({ format: 'pem', type: 'spki' }))
  return files
}
const [release, releasePublic] = pair('release')
const [, nightlyPublic] = pair('nightly')
const [stranger] = pair('stranger')

test('a signature by any of the trusted keys is enough', () => {
  requireSignature(OF, signBundle(OF, release), trustedKeys(`${nightlyPublic},${releasePublic}`))
})

test.each([
  ['none', () => null, 'BUNDLE_UNSIGNED'],
  ['an empty one', () => '', 'BUNDLE_UNSIGNED'],
  ['one of another bundle', () => signBundle(OTHER, release), 'BUNDLE_SIGNATURE_REFUSED'],
  ['one of a key that is not trusted', () => signBundle(OF, stranger), 'BUNDLE_SIGNATURE_REFUSED'],
  [
    'one that was changed',
    () => signBundle(OF, release).replace(/^./, (c) => (c === 'A' ? 'B' : 'A')),
    'BUNDLE_SIGNATURE_REFUSED',
  ],
  ['what is no signature', () => 'signed, honestly', 'BUNDLE_SIGNATURE_REFUSED'],
])('%s is refused', (_, signature, code) => {
  expect(() => requireSignature(OF, signature(), trustedKeys(releasePublic))).toThrow(expect.objectContaining({ code }))
})

test('without trusted keys nothing is asked', () => {
  expect(trustedKeys(undefined)).toBeNull()
  requireSignature(OF, null, trustedKeys(''))
})

test('a file that is no Ed25519 key is said by its name', () => {
  const rsa = join(dir, 'rsa.pub')
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
  writeFileSync(rsa, publicKey.export({ format: 'pem', type: 'spki' }))
  for (const file of [rsa, join(dir, 'none.pub')])
    expect(() => trustedKeys(file)).toThrow(expect.objectContaining({ code: 'KEY_UNUSABLE' }))
})
