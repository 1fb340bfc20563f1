/**
 * What every call needs. Viewers see how jobs are; operators also see records (state, dead letters) and change what runs;
 * admins decide what code runs, and end or delete what cannot be had again. What stands here nowhere needs an admin.
 */
import type { Role } from './roles.ts'

export interface Access {
  readonly role: Role
  /** Its name in the audit log; absent: it changes nothing. */
  readonly change?: string
}

/** METHOD and path, as Fastify writes it. */
export const REST_ACCESS: Readonly<Record<string, Access>> = {
  'GET /api/v1/jobs': { role: 'viewer' },
  'GET /api/v1/jobs/:id': { role: 'viewer' },
  'PATCH /api/v1/jobs/:id': { role: 'operator', change: 'job.rescale' },
  'GET /api/v1/jobs/:id/rate': { role: 'viewer' },
  'PATCH /api/v1/jobs/:id/rate': { role: 'operator', change: 'job.rate' },
  'PATCH /api/v1/jobs/:id/operators/:uid/rate': { role: 'operator', change: 'job.rate' },
  'PATCH /api/v1/jobs/:id/degrade-switch': { role: 'operator', change: 'job.degrade' },
  'GET /api/v1/jobs/:id/graph': { role: 'viewer' },
  'GET /api/v1/jobs/:id/canary': { role: 'viewer' },
  'GET /api/v1/jobs/:id/checkpoints': { role: 'viewer' },
  'GET /api/v1/jobs/:id/checkpoints/:epoch/tasks': { role: 'viewer' },
  'POST /api/v1/jobs/:id/cancel': { role: 'operator', change: 'job.cancel' },
  'POST /api/v1/jobs/:id/start': { role: 'operator', change: 'job.start' },
  'GET /api/v1/jobs/:id/events': { role: 'viewer' },
  'GET /api/v1/events': { role: 'viewer' },
  'GET /api/v1/jobs/:id/savepoints': { role: 'viewer' },
  'POST /api/v1/jobs/:id/savepoints': { role: 'operator', change: 'savepoint.take' },
  'DELETE /api/v1/jobs/:id/savepoints/:name': { role: 'admin', change: 'savepoint.delete' },
  'GET /api/v1/jobs/:id/state': { role: 'operator' },
  'GET /api/v1/jobs/:id/state-diff': { role: 'operator' },
  'GET /api/v1/jobs/:id/state/:operator/:state': { role: 'operator' },
  'GET /api/v1/jobs/:id/state/:operator/:state/:key': { role: 'operator' },
  'GET /api/v1/jobs/:id/dead-letters': { role: 'operator' },
  'POST /api/v1/jobs/:id/dead-letters/replay': { role: 'operator', change: 'dead-letters.replay' },
  'GET /api/v1/jobs/:id/transactions': { role: 'viewer' },
  'GET /api/v1/transactions': { role: 'viewer' },
  'POST /api/v1/transactions/:transactionalId/commit': { role: 'admin', change: 'transaction.commit' },
  'POST /api/v1/transactions/:transactionalId/abort': { role: 'admin', change: 'transaction.abort' },
  'POST /api/v1/alerts': { role: 'operator', change: 'alerts.receive' },
  'GET /api/v1/task-managers': { role: 'viewer' },
  'GET /api/v1/audit': { role: 'operator' },
}

/** Methods of `weir.v1.Jobs`, and `FleetTime`; `Fleet` takes the fleet's token and nothing else. */
export const GRPC_ACCESS = {
  uploadBundle: { role: 'admin', change: 'bundle.upload' },
  submit: { role: 'admin', change: 'job.submit' },
  restart: { role: 'operator', change: 'job.start' },
  get: { role: 'viewer' },
  list: { role: 'viewer' },
  getGraph: { role: 'viewer' },
  getCanary: { role: 'viewer' },
  cancel: { role: 'operator', change: 'job.cancel' },
  rescale: { role: 'operator', change: 'job.rescale' },
  adjustRate: { role: 'operator', change: 'job.rate' },
  degrade: { role: 'operator', change: 'job.degrade' },
  listTransactions: { role: 'viewer' },
  decideTransaction: { role: 'admin', change: 'transaction.decide' },
  listDeadLetters: { role: 'operator' },
  replayDeadLetters: { role: 'operator', change: 'dead-letters.replay' },
  takeSavepoint: { role: 'operator', change: 'savepoint.take' },
  listSavepoints: { role: 'viewer' },
  deleteSavepoint: { role: 'admin', change: 'savepoint.delete' },
  readState: { role: 'operator' },
  checkStart: { role: 'operator' },
  // A plan names secrets of the task-managers, which are looked up for it: as submit.
  examine: { role: 'admin' },
  now: { role: 'viewer' },
} as const satisfies Readonly<Record<string, Access>>
export type GrpcMethodName = keyof typeof GRPC_ACCESS

const UNKNOWN: Access = { role: 'admin' }

export function restAccess(method: string, path: string | undefined): Access {
  return REST_ACCESS[`${method === 'HEAD' ? 'GET' : method} ${path}`] ?? UNKNOWN
}
