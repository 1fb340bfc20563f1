export { CANARY_SHARES, inShare, nextShare } from './share.ts'
export {
  asideTopics,
  comparedTopics,
  onCanary,
  type CanaryCompares,
  type CanarySettings,
  type CanaryTopic,
} from './shadow.ts'
export {
  Comparer,
  type CompareOptions,
  type Comparison,
  type Difference,
  type Output as CanaryOutput,
  type Side as CanarySide,
} from './compare.ts'
export {
  CANARY_ERROR_RATE_MAX,
  CANARY_OUTPUTS_MIN,
  judgeCanary,
  type CanaryJudged,
  type CanaryVerdict,
} from './verdict.ts'
