import { attempt, generation, jobId, operatorUid, subtask } from '@weir/model'
import type { SubtaskContext } from '../ports.ts'

/** The only subtask of an operator, in the first attempt. */
export const contextOf = (job: string, operator: string, of: Partial<SubtaskContext> = {}): SubtaskContext => ({
  jobId: jobId(job),
  attempt: { generation: generation(1), attempt: attempt(1) },
  operatorUid: operatorUid(operator),
  ...{ subtask: subtask(0), parallelism: 1, maxParallelism: 128, signal: new AbortController().signal },
  ...of,
})
