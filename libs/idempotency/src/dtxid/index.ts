export { EtcdWorkerIds, type EtcdWorkersOptions } from './etcd-workers.ts'
export {
  DtxIds,
  NEXT_MANY_MAX,
  TAKE_TIMEOUT_MS,
  dtxIds63,
  dtxIds68,
  type DtxIdDeps,
  type DtxIdOptions,
  type FleetClock,
  type WorkerIds,
} from './generator.ts'
export type { DtxIdStatus } from './id-source.ts'
export { JobManagerClock, type JobManagerClockOptions } from './job-manager-clock.ts'
export { TIME_ORIGIN_MS, encodeDtxId, inspectDtxId, parseDtxId, type DtxIdForm, type DtxIdParts } from './layout.ts'
