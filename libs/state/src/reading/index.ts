export * from './state-reader.ts'
export * from './state-diff.ts'
