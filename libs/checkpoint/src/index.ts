export * from './manifest.ts'
export * from './permit.ts'
export * from './ports.ts'
