/** Who has made a bundle: an Ed25519 signature of its digest, and the public keys that are trusted. */
import { WeirError, type Digest } from '@weir/model'
import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'

/** So that no signature made for something else is one of a bundle. */
const signed = (digest: Digest): Buffer => Buffer.from(`weir bundle v1\n${digest}`)

/** `keys`: names of the files they are from. */
export interface TrustedKeys {
  readonly keys: ReadonlyMap<string, KeyObject>
}

/** Null: signatures are not looked at. @param files paths with commas. Throws `KEY_UNUSABLE` (invalid). */
export function trustedKeys(files: string | undefined): TrustedKeys | null {
  const paths = (files ?? '').split(',').filter((path) => path !== '')
  if (paths.length === 0) return null
  return { keys: new Map(paths.map((path) => [path, keyIn(path, createPublicKey)])) }
}

/** @param file PEM of the private key. Throws `KEY_UNUSABLE` (invalid). */
export function signBundle(digest: Digest, file: string): string {
  return sign(null, signed(digest), keyIn(file, createPrivateKey)).toString('base64')
}

/** Nothing is asked where no key is trusted. Throws `BUNDLE_UNSIGNED`, `BUNDLE_SIGNATURE_REFUSED` (invalid). */
export function requireSignature(digest: Digest, signature: string | null, trusted: TrustedKeys | null): void {
  if (trusted === null) return
  if (signature === null || signature === '') {
    throw new WeirError(
      { code: 'BUNDLE_UNSIGNED', kind: 'invalid', digest },
      `bundle ${digest} is not signed, and this fleet (WEIR_BUNDLE_KEYS) runs signed ones only: weir submit --sign KEY.pem`,
    )
  }
  const bytes = Buffer.from(signature, 'base64')
  if ([...trusted.keys.values()].some((key) => verify(null, signed(digest), key, bytes))) return
  throw new WeirError(
    { code: 'BUNDLE_SIGNATURE_REFUSED', kind: 'invalid', digest, trusted: [...trusted.keys.keys()] },
    `the signature of bundle ${digest} is of none of the ${trusted.keys.size} trusted keys (WEIR_BUNDLE_KEYS): sign it with one of them`,
  )
}

function keyIn(file: string, make: (pem: Buffer) => KeyObject): KeyObject {
  try {
    const key = make(readFileSync(file))
    if (key.asymmetricKeyType === 'ed25519') return key
    throw new Error(`it is ${key.asymmetricKeyType}`)
  } catch (cause) {
    throw new WeirError(
      { code: 'KEY_UNUSABLE', kind: 'invalid', file },
      `${file} is no PEM of an Ed25519 key (${(cause as Error).message}): openssl genpkey -algorithm ed25519 makes one`,
      { cause },
    )
  }
}
