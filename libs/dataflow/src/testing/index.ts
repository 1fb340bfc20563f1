export * from './two-phase-sink-contract.ts'
export * from './memory-staged-output.ts'
export { janitorContract, type JanitorHarness } from './janitor-contract.ts'
export { topicsContract, type TopicsHarness } from './topics-contract.ts'
