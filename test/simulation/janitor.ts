/** What apps/task-manager/src/janitor.ts does, at the simulated broker. */
import { LogJanitor, LogSink } from '@weir/connectors'
import { poolSize } from '@weir/dataflow'
import { ObjectStagedOutput } from '@weir/metadata'
import { attempt, generation } from '@weir/model'
import type { JanitorAnswer, JanitorRequest, SinkToSettle } from '@weir/wire'
import type { Fleet } from './fleet.ts'
import { SimLogClient } from './log-client.ts'
import { PLAIN, SimObjectStore } from './objects.ts'
import type { Process } from './world.ts'

const AFTER_ALL = { generation: generation(Number.MAX_SAFE_INTEGER), attempt: attempt(1) }
const never = new AbortController().signal

export async function janitor(fleet: Fleet, process: Process, request: JanitorRequest): Promise<JanitorAnswer> {
  const log = new SimLogClient(process, fleet.network, fleet.kafka)
  if (request.type !== 'list') fleet.world.trace(`${process.name} janitor ${request.type}`)
  switch (request.type) {
    case 'list':
      return { type: 'listed', connectors: ['log'], transactions: await new LogJanitor(log).list(request.prefix) }
    case 'end':
      return { type: 'ended', outcome: await new LogJanitor(log).end(request.transaction, request.decision) }
    case 'settle':
      return { type: 'settled', proofs: await sinkOf(request.sink).recover(request.sink.restored) }
    default:
      throw new Error('not simulated')
  }

  function sinkOf({ jobId, sink, subtask, descriptor, settings }: SinkToSettle): LogSink {
    const { parallelism, maxParallelism, transactionTimeoutMs, checkpoint } = settings
    const { clock } = process
    const place = { jobId, attempt: AFTER_ALL, operatorUid: sink, subtask, parallelism, maxParallelism }
    const context = { ...place, signal: never }
    const objects = new SimObjectStore(process, fleet.network, fleet.s3)
    const staged =
      descriptor['onLost'] === 'fail' ? null : new ObjectStagedOutput(context, { objects, clock, codec: PLAIN })
    const size = poolSize(checkpoint.toleratedAborts)
    const options = { topic: String(descriptor['topic']), poolSize: size, transactionTimeoutMs, encodeKey: String }
    return new LogSink({ ...options, encodeValue: String }, { context, log, clock, staged })
  }
}
