export { createLogger, type Logger } from './logger.ts'
export { machineFacts } from './machine-facts.ts'
export { Metrics, type JobSample } from './metrics.ts'
export { watchClaimTiers } from './claim-tiers.ts'
