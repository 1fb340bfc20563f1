export * from './two-phase-sink-contract.ts'
