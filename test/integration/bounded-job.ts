/** A job of bounded topics on a real broker, in this process: one slice, one epoch, committed. Nothing else is left out. */
import { HttpSchemaRegistry } from '@weir/connectors'
import { planJob, type ClaimStore, type IdempotentNode, type JobDefinition, type SubtaskContext } from '@weir/dataflow'
import { KafkaConnections, KafkaSink, KafkaSource } from '@weir/kafka'
import { attempt, epoch, generation, jobId, subtask, type WeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { Slice, type SliceReport } from '@weir/runtime'
import { MemoryExchange, MemoryStateStore } from '@weir/runtime/testing'
import { settled } from '../../libs/kafka/src/testing/settled.ts'

export interface BoundedJobDeps {
  readonly kafka: KafkaConnections
  readonly env?: Readonly<Record<string, string>>
  /** Of claims in a store outside. */
  readonly claims?: (node: IdempotentNode, context: SubtaskContext) => ClaimStore
}

/** Resolves when its output is committed and visible; throws what a slice fails with. */
export async function runBounded(job: JobDefinition, { kafka, env = {}, claims }: BoundedJobDeps): Promise<void> {
  const id = jobId(job.name)
  const reports: SliceReport[] = []
  let look = (): void => {}
  const slice = new Slice(
    {
      ...{ jobId: id, subtask: subtask(0), plan: planJob(job), freeze: true },
      attempt: { generation: generation(1), attempt: attempt(1) },
    },
    {
      clock: systemClock,
      exchange: new MemoryExchange(),
      createSource({ descriptor }, context) {
        const options = { topic: String(descriptor['topic']), startFrom: 'earliest', until: 'latest' } as const
        return new KafkaSource({ ...options, isolation: 'read_committed' }, { context, kafka, clock: systemClock })
      },
      createSink({ descriptor, encodeKey, encodeValue, encodeHeaders }, context, asides) {
        const topic = String(descriptor['topic'])
        const options = { topic, poolSize: 2, transactionTimeoutMs: 60_000, asides }
        return new KafkaSink(
          { ...options, encodeKey, encodeValue, encodeHeaders },
          { context, kafka, clock: systemClock, staged: null },
        )
      },
      createContinuousSink: () => Promise.reject(new Error('not this scope')) as never,
      ...(claims && { createClaims: claims }),
      openState: (stage) => Promise.resolve(new MemoryStateStore(new Map(), `stage-${stage}`)),
      schemaRegistry: (settings, signal) => new HttpSchemaRegistry(settings, { clock: systemClock, signal, env }),
      report(report) {
        reports.push(report)
        look()
      },
      turn: () => new Promise((resolve) => setImmediate(resolve)),
    },
  )
  const until = <T extends SliceReport['type']>(type: T): Promise<SliceReport & { type: T }> =>
    new Promise((resolve, reject) => {
      look = () => {
        const failed = reports.find((report) => report.type === 'failed')
        if (failed) return reject(failed.error as WeirError)
        const found = reports.find((report): report is SliceReport & { type: T } => report.type === type)
        if (found) resolve(found)
      }
      look()
    })
  try {
    await slice.recover(null)
    await slice.run([{ subtask: subtask(0), taskManagerId: 'tm', exchangeAddress: '' }])
    await until('input-ended')
    slice.trigger({ generation: generation(1), attempt: attempt(1), epoch: epoch(1) })
    const { snapshot } = await until('ack')
    const upTo = Object.entries(snapshot.sinks).map(([uid, state]) => [uid, (state as { sequence: number }).sequence])
    slice.commit(epoch(1), Object.fromEntries(upTo) as Record<string, number>)
    await until('committed')
    await settled(kafka, `weir.${id}`)
  } finally {
    await slice.stop('leave')
  }
}
