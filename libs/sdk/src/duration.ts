import { WeirError } from '@weir/model'

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
export type Duration = number | `${number}${keyof typeof UNIT_MS}`

/** Milliseconds of `'10s'`, `'5m'`, `'24h'` or a plain number of ms. Throws `DURATION_INVALID` (invalid). */
export function durationMs(d: Duration): number {
  const [, amount, unit] = typeof d === 'number' ? [null, d, 'ms'] : (/^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(d) ?? [])
  const ms = Number(amount) * (UNIT_MS[unit as keyof typeof UNIT_MS] ?? Number.NaN)
  if (Number.isFinite(ms) && ms > 0) return ms
  throw new WeirError(
    { code: 'DURATION_INVALID', kind: 'invalid', got: d },
    `"${d}" is no duration: write e.g. '10s', '5m', '24h' or a number of ms`,
  )
}
