/** REST for people and tools, a controller per resource. */
import { JobsController } from './jobs.controller.ts'
import { CheckpointTasksController } from './checkpoint-tasks.controller.ts'
import { GraphController } from './graph.controller.ts'
import { DegradeController } from './degrade.controller.ts'
import { CanaryController } from './canary.controller.ts'
import { RateController } from './rate.controller.ts'
import { SavepointsController } from './savepoints.controller.ts'
import { TransactionsController } from './transactions.controller.ts'
import { DeadLettersController } from './dead-letters.controller.ts'
import { StateController } from './state.controller.ts'
import { AlertsController } from './alerts.controller.ts'
import { AuditController } from './audit.controller.ts'
import { EventsController } from './events.controller.ts'
import { FleetController } from './fleet.controller.ts'
import { HealthController } from './health.controller.ts'
import { SchemasController } from './schemas.controller.ts'

export { METRICS } from './health.controller.ts'
export { describeApi } from './openapi.ts'
export { ProblemFilter } from './problem.ts'

export const restControllers = [
  JobsController,
  CheckpointTasksController,
  GraphController,
  CanaryController,
  RateController,
  DegradeController,
  SavepointsController,
  TransactionsController,
  DeadLettersController,
  StateController,
  AuditController,
  AlertsController,
  EventsController,
  FleetController,
  HealthController,
  SchemasController,
]
