/** A polled batch cut in two where the watermark of its split would reach an event time. Pure. */
import type { Watermark } from '@weir/model'
import { readBatch } from './operators/source.ts'
import type { SourceNode } from './graph.ts'
import type { RawRecords, SourceBatch } from './ports.ts'
import type { WatermarkFold } from './watermark-fold.ts'

/**
 * Index of the first record with which the watermark of its split comes to `time`; their number when none does. A record
 * that cannot be read moves no watermark. Decoders run, and will run again.
 * @param fold as it stands in front of the batch; it is left as it is
 */
export function firstReaching(
  node: Pick<SourceNode, 'uid' | 'decode' | 'timestamp' | 'outOfOrderMs'>,
  batch: SourceBatch,
  time: Watermark,
  fold: WatermarkFold | null = null,
): number {
  const count = countOf(batch)
  const unreadable = new Set<number>()
  const ahead = fold && fold.copy()
  const { timestamps } = readBatch(node, batch, { place: 0, refuse: (index) => void unreadable.add(index) }, ahead)
  for (let i = 0, read = 0; i < count; i++) {
    if (unreadable.has(i)) continue
    const reached = ahead === null ? timestamps[read]! - node.outOfOrderMs : ahead.reached[read]!
    if (reached >= time) return i
    read++
  }
  return count
}

export const countOf = (batch: SourceBatch): number => (batch.kind === 'raw' ? batch.raw.count : batch.values.length)

export const offsetAt = (batch: SourceBatch, index: number): number =>
  (batch.kind === 'raw' ? batch.raw.offsets : batch.offsets)[index]!

export function batchOf(batch: SourceBatch, from: number, to: number): SourceBatch {
  if (batch.kind === 'raw') return { ...batch, raw: rawOf(batch.raw, from, to) }
  const { values, timestamps, offsets, ...rest } = batch
  const part = <T>(of: T[]): T[] => of.slice(from, to)
  return { ...rest, values: part(values), timestamps: part(timestamps), offsets: part(offsets) }
}

/** A view: the bytes are shared. */
export function rawOf(raw: RawRecords, from: number, to: number): RawRecords {
  const { headers } = raw
  return {
    buffer: raw.buffer,
    count: to - from,
    keyStart: raw.keyStart.subarray(from, to),
    keyEnd: raw.keyEnd.subarray(from, to),
    valueStart: raw.valueStart.subarray(from, to),
    valueEnd: raw.valueEnd.subarray(from, to),
    timestamps: raw.timestamps.subarray(from, to),
    offsets: raw.offsets.subarray(from, to),
    ...(headers && { headers }),
  }
}
