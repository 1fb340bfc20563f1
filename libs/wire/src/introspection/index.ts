export { GRPC_WATCHES_MAX, addHealth, type HealthCheck, type HealthOptions } from './health.ts'
export { addReflection } from './reflection.ts'
