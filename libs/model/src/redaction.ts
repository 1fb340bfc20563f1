/**
 * What must not be in a message, wherever it came from: servers repeat what they were sent, drivers what they were given.
 * Values are taken out, not patterns.
 */

export const REDACTED = '[secret]'
/** Shorter ones would take half of every message with them. */
const LENGTH_MIN = 4

export class Redaction {
  readonly #values = new Set<string>()
  /** Of all of them, longest first: one may be part of another. Null: not made yet. */
  #pattern: RegExp | null = null

  /** The secret, and what it has inside that is shown alone: the password of a URL, the token behind `Bearer`. */
  add(secret: string): void {
    for (const value of [secret, ...partsOf(secret)]) {
      if (value.length >= LENGTH_MIN) this.#values.add(value)
    }
    this.#pattern = null
  }

  text(text: string): string {
    if (this.#values.size === 0) return text
    this.#pattern ??= new RegExp(
      [...this.#values]
        .sort((a, b) => b.length - a.length)
        .map(literal)
        .join('|'),
      'g',
    )
    return text.replace(this.#pattern, REDACTED)
  }

  /** Plain data, as errors and reports are: a copy, keys as they are. */
  data<T>(value: T): T {
    if (this.#values.size === 0) return value
    return this.#data(value) as T
  }

  #data(value: unknown): unknown {
    if (typeof value === 'string') return this.text(value)
    if (Array.isArray(value)) return value.map((one) => this.#data(one))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, this.#data(one)]))
  }
}

const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')

function partsOf(secret: string): string[] {
  const url = /^[a-z][a-z0-9+.-]*:\/\/([^/?#\s]*)@/i.exec(secret)
  if (url !== null) {
    const password = url[1]!.slice(url[1]!.indexOf(':') + 1)
    return [password, decoded(password)]
  }
  const [, scheme = '', credentials = ''] = /^(basic|bearer) +(\S+)$/i.exec(secret) ?? []
  if (scheme.toLowerCase() !== 'basic') return [credentials]
  const pair = Buffer.from(credentials, 'base64').toString()
  return [credentials, pair, pair.slice(pair.indexOf(':') + 1)]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
