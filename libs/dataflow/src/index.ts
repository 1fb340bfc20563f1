export * from './ports.ts'
export * from './graph.ts'
export * from './plan.ts'
