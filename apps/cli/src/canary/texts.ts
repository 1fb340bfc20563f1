/** Bytes of records as texts to compare, and comparisons as texts for people. */
import { canonicalJson, type CanaryJudged, type CanarySettings, type Comparison, type Difference } from '@weir/dataflow'
import { isUtf8 } from 'node:buffer'

/** Half of a pair: no text of UTF-8 begins with it. */
const BYTES = '\uD800'
/** A text for each sequence of bytes, and for no other one. */
export const textOf = (bytes: Uint8Array): string =>
  isUtf8(bytes) ? Buffer.from(bytes).toString() : BYTES + Buffer.from(bytes).toString('latin1')

/** What of a value is compared. A value that is no JSON object is compared as it is. */
export function normalOf({
  compares,
  ignored,
}: Pick<CanarySettings, 'compares' | 'ignored'>): (value: Uint8Array | null) => string | null {
  if (compares === 'by-key') return () => ''
  if (ignored.length === 0) return (value) => value && textOf(value)
  const isIgnored = new Set(ignored)
  return (value) => {
    if (value === null) return null
    const text = textOf(value)
    try {
      const parsed: unknown = JSON.parse(text)
      if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return text
      return canonicalJson(Object.fromEntries(Object.entries(parsed).filter(([name]) => !isIgnored.has(name))))
    } catch {
      return text
    }
  }
}

export interface CanaryReport extends CanaryJudged, Comparison {
  readonly jobId: string
  readonly canary: string
  readonly state: string
  readonly share: number
  readonly outputsMin: number
}

export const percent = (share: number, digits = 0): string => `${(share * 100).toFixed(digits)} %`

export function told(report: CanaryReport): string {
  const { jobId, canary, state, share, compared, equal, different, missing, extra, undecided, forced } = report
  const { errorRate, verdict, outputsMin, samples } = report
  const verdicts = {
    passes: `passes: below 0.02 % of ${compared} outputs`,
    differs: 'DIFFERS: 0.02 % or more',
    'too-few': `too few so far: ${outputsMin} outputs have to be compared`,
  }
  return [
    `${canary} (${state}), ${percent(share)} of the keys of ${jobId}`,
    `${compared} outputs compared: ${equal} equal, ${different} different, ${missing} missing, ${extra} extra; ${undecided} not decided yet`,
    ...(forced === 0
      ? []
      : [`${forced} of these errors were counted since memory had run out: both are too far apart`]),
    `error rate ${percent(errorRate, 4)}: ${verdicts[verdict]}`,
    ...samples.map(sampleLine),
  ].join('\n')
}

const SHOWN = 160
const short = (text: string | null | undefined): string =>
  text === undefined
    ? '(none)'
    : text === null
      ? '(tombstone)'
      : text.length > SHOWN
        ? `${text.slice(0, SHOWN)}…`
        : text

const sampleLine = ({ kind, topic, key, live, shadow }: Difference): string =>
  [
    `${kind}: ${topic}, ${key === null ? 'no key' : `key ${key}`}`,
    `job: ${short(live)}`,
    `canary: ${short(shadow)}`,
  ].join('\t')
