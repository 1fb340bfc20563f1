/** Secrets are named in plans, which are stored and shown; their values are in the environment of the task-managers. */
import { WeirError } from '@weir/model'

/** @param reference `env:NAME`. Throws `SECRET_MISSING` (invalid). */
export function secretOf(reference: string, operatorUid: string): string {
  const [, name] = /^env:(\w+)$/.exec(reference) ?? []
  const value = name === undefined ? undefined : process.env[name]
  if (value) return value
  throw new WeirError(
    { code: 'SECRET_MISSING', kind: 'invalid', operatorUid, reference },
    name === undefined
      ? `"${operatorUid}" names its secret as env:NAME, not as ${JSON.stringify(reference)}`
      : `"${operatorUid}" needs the environment variable ${name}: set it in every task-manager`,
  )
}
