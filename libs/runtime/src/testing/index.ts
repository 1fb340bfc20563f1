export * from './memory.ts'
export * from './memory-log.ts'
export * from './memory-continuous.ts'
