/** Secrets of jobs: named in plans, which are stored and shown; read here, in the environment and the files of the task-managers. */
import { Redaction, secretOf as read, type SecretSources } from '@weir/model'
import { readFileSync, statSync } from 'node:fs'

const SECRET_BYTES_MAX = 64 << 10

/** Throws when it is no file, or larger than 64 KiB. */
export function readSecretFile(path: string): string {
  const { size } = statSync(path)
  if (size > SECRET_BYTES_MAX) throw new Error(`it has ${size} bytes, at most ${SECRET_BYTES_MAX} are read`)
  return readFileSync(path, 'utf8')
}

/** What jobs of this thread were given: a slot has one job. */
const given = new Redaction()

/** @param reference `env:NAME`, `file:/path`. Throws `SECRET_MISSING` (invalid). */
export function secretOf(reference: string, operatorUid: string, env: SecretSources['env'] = process.env): string {
  const secret = read(reference, `"${operatorUid}"`, { env, read: readSecretFile })
  given.add(secret)
  return secret
}

/** Plain data that leaves this thread, without any secret it was given. */
export const redacted = <T>(data: T): T => given.data(data)
