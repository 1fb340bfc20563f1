/** In front of where records leave a stage: values of a sample are looked at, and refused where they could not be sent. */
import { notPortable, withoutRefused, type Input, type Refuse, type Sample } from '@weir/dataflow'
import type { OperatorUid, RecordBatch } from '@weir/model'

export interface PortableOptions {
  /** The operator at the edge. */
  readonly uid: OperatorUid
  readonly sample: Sample
  readonly refuse: Refuse
}

export const portable = (next: Input, { uid, sample, refuse }: PortableOptions): Input => ({
  emit(batch: RecordBatch): void {
    const refused: number[] = []
    const count = sample.of(batch.values.length)
    for (let i = 0; i < count; i++) {
      const error = notPortable(uid, batch, i)
      if (error === null) continue
      refuse(batch, i, error)
      refused.push(i)
    }
    if (refused.length === 0 || withoutRefused(batch, refused)) next.emit(batch)
  },
  watermark: (timestamp) => next.watermark(timestamp),
  end: () => next.end(),
})
