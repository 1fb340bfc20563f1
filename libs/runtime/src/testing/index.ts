export * from './memory.ts'
export * from './memory-log.ts'
