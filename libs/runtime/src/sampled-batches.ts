/** Sampled records on their way into the chain of a source. */
import type { SourceBatch } from '@weir/dataflow'
import { NOWHERE, type RecordBatch } from '@weir/model'
import type { Sampled } from './record-traces.ts'
import type { SliceScope } from './slice-scope.ts'
import { emitToSplit } from './split-runs.ts'
import type { StageRun } from './stage-run.ts'

/**
 * Where batches carry nothing of their records, a sampled one gets a batch of its own: what is traced is told apart, and the others
 * cost what they always do.
 */
export function emitSampled({ traces }: SliceScope, run: StageRun, batch: RecordBatch, sampled: Sampled): void {
  traces!.left(sampled.reading)
  for (const part of batch.origins === undefined ? alone(batch, sampled.contexts) : [batch]) {
    if (part.values.length === 0) continue
    const passing = traces!.enter(run, part)
    if (passing === null) run.input.emit(part)
    else traces!.through(passing, () => run.input.emit(part))
  }
}

/** The same into the chain of a split, whose cuts go by offsets: the whole batch says where it was read. Yields as `emitToSplit`. */
export function* emitSampledToSplit(
  scope: SliceScope,
  run: StageRun,
  polled: SourceBatch,
  batch: RecordBatch,
  sampled: Sampled,
): Generator<void> {
  scope.traces!.left(sampled.reading)
  const traced = batch.origins === undefined ? withContexts(batch, polled, sampled) : batch
  const passing = scope.traces!.enter(run, traced)
  yield* emitToSplit(run, polled, traced)
  if (passing !== null) scope.traces!.left(passing)
}

function* alone({ values, timestamps }: RecordBatch, contexts: Sampled['contexts']): Generator<RecordBatch> {
  const slice = (from: number, to?: number): RecordBatch => ({
    keys: null,
    values: values.slice(from, to),
    timestamps: timestamps.slice(from, to),
  })
  let from = 0
  for (const [index, context] of contexts) {
    yield slice(from, index)
    const origins = { places: [NOWHERE], offsets: [NOWHERE], ordinals: null, traces: [context] }
    yield { ...slice(index, index + 1), origins }
    from = index + 1
  }
  yield slice(from)
}

const withContexts = (batch: RecordBatch, polled: SourceBatch, { contexts }: Sampled): RecordBatch => {
  const offsets = polled.kind === 'raw' ? polled.raw.offsets : polled.offsets
  const count = batch.values.length
  return {
    ...batch,
    origins: {
      places: Array.from({ length: count }, () => NOWHERE),
      offsets: Array.from({ length: count }, (_, i) => offsets[i]!),
      ordinals: null,
      traces: Array.from({ length: count }, (_, i) => contexts.get(i) ?? null),
    },
  }
}
