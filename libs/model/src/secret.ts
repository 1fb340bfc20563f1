/**
 * Secrets are named where they would be stored or shown (plans, settings), and read where they are used. `env:NAME` is a
 * variable of the process that uses it; `file:/path` a file it can read, as Kubernetes mounts secrets.
 */
import { WeirError } from './errors.ts'

export const SECRET_FORM = 'env:NAME or file:/PATH'
export const isSecretReference = (text: string): boolean => /^(env:\w+|file:\/.+)$/.test(text)

export interface SecretSources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Throws when there is nothing to be read. */
  readonly read: (path: string) => string
}

/**
 * Read anew at each call: what has been replaced counts from then on. One line feed at the end of a file is no part of it.
 *
 * @param of who needs it, for the message. Throws `SECRET_MISSING` (invalid), which never repeats what it was given as a
 * reference unless it is one: it may be the secret.
 */
export function secretOf(reference: string, of: string, { env, read }: SecretSources): string {
  const refuse = (what: string, cause?: unknown): WeirError =>
    new WeirError({ code: 'SECRET_MISSING', kind: 'invalid', of, reference: shown(reference) }, `${of} ${what}`, {
      cause,
    })
  if (!isSecretReference(reference)) throw refuse(`names its secret as ${SECRET_FORM}; what it has is neither`)
  const name = reference.slice(reference.indexOf(':') + 1)
  if (reference.startsWith('env:')) {
    const value = env[name]
    if (value) return value
    throw refuse(`needs the environment variable ${name}: set it in every process that uses it`)
  }
  let text: string
  try {
    text = read(name)
  } catch (cause) {
    throw refuse(`needs the file ${name}, which cannot be read (${(cause as Error).message})`, cause)
  }
  const value = text.replace(/\r?\n$/, '')
  if (value === '') throw refuse(`needs the file ${name}, which is empty`)
  return value
}

/**
 * A setting that is a secret: `NAME=value`, or `NAME=file:/path`. Null: not set. Throws as `secretOf`.
 */
export function secretSetting(name: string, sources: SecretSources): string | null {
  const given = sources.env[name]
  if (given === undefined || given === '') return null
  return given.startsWith('file:/') ? secretOf(given, name, sources) : given
}

const shown = (reference: string): string => (isSecretReference(reference) ? reference : '(not shown)')
