export { createLogger, type Logger } from './logger.ts'
export { Metrics, type JobSample } from './metrics.ts'
export { watchClaimTiers } from './claim-tiers.ts'
