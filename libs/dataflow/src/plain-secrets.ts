/** What looks like a secret in a plan, which is stored and shown: connectors take references, whoever else wrote the plan may not. */
import { isSecretReference } from '@weir/model'
import type { PlanSummary } from './plan.ts'

const URL_WITH_PASSWORD = /\b[a-z][a-z0-9+.-]*:\/\/[^/?#\s@]*:[^/?#\s@]+@/i
const QUERY_WITH_SECRET = /[?&](password|passwd|token|secret|api_?key|sig|signature)=[^&\s]/i
const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----/
/** A field that holds one, if it holds anything. */
const NAMED =
  /^(password|passwd|secret|secret_?key|secret_?access_?key|access_?key|api_?key|(access_?|bearer_?)?token|authorization|private_?key)$/i

/** Where in the configuration of its nodes, as `sink "rows": url`; the values are not repeated. */
export function plainSecrets(plan: PlanSummary): string[] {
  return plan.nodes.flatMap(({ kind, uid, config }) =>
    placesIn(config).map((place) => `${kind} "${uid}": ${place.join('.')}`),
  )
}

function placesIn(value: unknown, at: readonly string[] = []): string[][] {
  if (typeof value === 'string') return looksSecret(at.at(-1) ?? '', value) ? [[...at]] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => placesIn(inner, [...at, key]))
}

/** @param name of the field that holds the text */
export function looksSecret(name: string, text: string): boolean {
  if (text === '' || isSecretReference(text)) return false
  return NAMED.test(name) || [URL_WITH_PASSWORD, QUERY_WITH_SECRET, PRIVATE_KEY].some((form) => form.test(text))
}
