/** `weir describe`: what a job consists of, of one that is there or of a job file. */
import { graphView, type GraphView } from '@weir/job'
import type { JobsClient } from '@weir/wire'
import { bundleJob } from './bundle.ts'
import { drawGraph } from './draw-graph.ts'
import { isJobFile } from './job-file.ts'
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
  const graph = isJobFile(named)
    ? graphView((await bundleJob(named, params)).plan.summary)
    : await client().graph(named)
  print(graph satisfies GraphView, drawGraph(graph))
  return 0
}
