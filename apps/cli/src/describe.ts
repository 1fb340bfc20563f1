/** `weir describe`: what a job consists of, of one that is there or of a job file. */
import { graphView, type GraphView } from '@weir/job'
import type { JobsClient } from '@weir/wire'
import { existsSync } from 'node:fs'
import { bundleJob } from './bundle.ts'
import { drawGraph } from './draw-graph.ts'
import { needed } from './usage.ts'

export interface DescribeCommand {
  /** The id of a job, or a file. */
  readonly of: string | undefined
  readonly params: Readonly<Record<string, string>>
  readonly client: () => Pick<JobsClient, 'graph'>
}

export async function describe(
  { of, params, client }: DescribeCommand,
  print: (value: unknown, text: string) => void,
): Promise<number> {
  const named = needed(of, 'JOB-ID or JOB.ts')
  // An id has neither dots nor slashes.
  const isFile = /[./\\]/.test(named) || existsSync(named)
  const graph = isFile ? graphView((await bundleJob(named, params)).plan.summary) : await client().graph(named)
  print(graph satisfies GraphView, drawGraph(graph))
  return 0
}
