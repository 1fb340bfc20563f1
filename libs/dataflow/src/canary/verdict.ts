/** What a comparison comes to. */
import type { Comparison } from './compare.ts'

/** Below it a canary passes: 0.02 %. */
export const CANARY_ERROR_RATE_MAX = 0.0002
/** With none wrong of so many the rate is below 0.02 % with 95 % confidence: 3 / n (the rule of three). */
export const CANARY_OUTPUTS_MIN = 15_000

/** `too-few`: nothing is wrong so far, and too little was compared to say that nothing is. */
export type CanaryVerdict = 'passes' | 'differs' | 'too-few'

export interface CanaryJudged {
  /** Outputs of both sides, a pair as one. */
  readonly compared: number
  readonly errors: number
  /** 0 to 1. */
  readonly errorRate: number
  readonly verdict: CanaryVerdict
}

export function judgeCanary(
  { equal, different, missing, extra }: Omit<Comparison, 'samples'>,
  outputsMin: number = CANARY_OUTPUTS_MIN,
): CanaryJudged {
  const errors = different + missing + extra
  const compared = equal + errors
  const errorRate = compared === 0 ? 0 : errors / compared
  const verdict = errorRate >= CANARY_ERROR_RATE_MAX ? 'differs' : compared < outputsMin ? 'too-few' : 'passes'
  return { compared, errors, errorRate, verdict }
}
