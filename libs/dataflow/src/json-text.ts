/**
 * JSON text that says what the value says. `JSON.stringify` writes NaN and Infinity as null, and a Map, a Set, a promise or a
 * class with nothing but private fields as `{}`, without a word. Only where the text has one of these is the value looked through.
 */
import { WeirError } from '@weir/model'
import { isPlain, nameOf, type Unportable } from './portable.ts'
import { isThenable } from './user-code.ts'

/**
 * Undefined for what has no text at all: undefined, functions, symbols. Throws `ENCODE_FAILED` (invalid) naming the place of what
 * would be written as something else, and for bigints and what contains itself.
 */
export function jsonText(value: unknown): string | undefined {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value) // the same text, in a third of the time
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new WeirError(
      { code: 'ENCODE_FAILED', kind: 'invalid' },
      `the value cannot be written as JSON: ${why}. Map it before the sink, e.g. a bigint to a string.`,
      { cause },
    )
  }
  if (text === undefined || !(text.includes('null') || text.includes('{}'))) return text
  const lost = lostInJson(value)
  if (lost === null) return text
  const { what } = lost
  const path = `$${lost.path}`
  throw new WeirError(
    { code: 'ENCODE_FAILED', kind: 'invalid', path, what },
    `${path} of the value is ${what}, which JSON would hold as something else. Map it before the sink, e.g. a Map to ` +
      'Object.fromEntries(map), and decide what stands for a number that is none.',
  )
}

/** Paths are put together on the way out: mostly there is nothing to name. */
function lostInJson(value: unknown): Unportable | null {
  if (typeof value === 'number') return Number.isFinite(value) ? null : { path: '', what: String(value) }
  if (typeof value === 'function' || typeof value === 'symbol') return { path: '', what: `a ${typeof value}` }
  if (typeof value !== 'object' || value === null) return null
  if (isThenable(value)) return { path: '', what: 'a promise' }
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return null // it says itself what it is
  const isList = Array.isArray(value)
  const names = Object.keys(value)
  if (names.length === 0 && !isList && !isPlain(value)) return { path: '', what: `an instance of ${nameOf(value)}` }
  for (const name of names) {
    const lost = lostInJson((value as Record<string, unknown>)[name])
    if (lost !== null) return { path: `${isList ? `[${name}]` : `.${name}`}${lost.path}`, what: lost.what }
  }
  return null
}
