export * from './two-phase-sink-contract.ts'
export * from './memory-staged-output.ts'
