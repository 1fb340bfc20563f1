/** How the contracts of sinks call one. */
import { attempt, epoch, generation, type CheckpointId } from '@weir/model'
import type { SinkState, TwoPhaseSink } from '../ports.ts'

const TIME = 1_750_000_000_000

export const checkpoint = (n: number): CheckpointId => ({
  ...{ epoch: epoch(n), generation: generation(1), attempt: attempt(1) },
})
export const throughJson = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

export const write = (sink: TwoPhaseSink, ...values: string[]): Promise<void> | undefined =>
  sink.write({ keys: null, values, timestamps: values.map(() => TIME) })
/** Records of one key: one partition, so that their order shows. */
export const writeInOrder = (sink: TwoPhaseSink, ...values: string[]): Promise<void> | undefined =>
  sink.write({ keys: values.map(() => 'k'), values, timestamps: values.map(() => TIME) })
export const prepared = async (sink: TwoPhaseSink, n: number): Promise<SinkState> =>
  throughJson(await sink.prepare(checkpoint(n)))
