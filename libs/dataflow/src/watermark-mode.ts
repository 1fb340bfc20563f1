/** What a job must be for checkpoints that are cut at an event time (`checkpoint.mode: 'watermark'`). */
import { WeirError } from '@weir/model'
import type { JobDefinition } from './graph.ts'

/** Throws WeirError `WATERMARK_MODE_REFUSED` (invalid) with `reason`. */
export function checkWatermarkMode({ settings, graph }: JobDefinition): void {
  const { checkpoint, commit } = settings
  if (checkpoint.mode !== 'watermark') {
    if (checkpoint.cutBoundMs === undefined) return
    throw refused(
      'bound-without-mode',
      'checkpoint.cutBoundMs is given, which only mode "watermark" has. Leave it out, or',
    )
  }
  if (checkpoint.unaligned || checkpoint.alignedTimeoutMs !== null) {
    throw refused(
      'unaligned',
      'barriers that overtake records are not where event time cuts the input (PROTOCOL B9). Leave out checkpoint.unaligned and checkpoint.alignedTimeoutMs, or',
    )
  }
  if (commit.scope === 'continuous') {
    throw refused(
      'scope',
      'commit scope "continuous" commits between checkpoints, at no event time. Use the scope "epoch", or',
    )
  }
  const timeless = graph.nodes.find((node) => node.kind === 'source' && node.timestamp === null)
  if (timeless !== undefined) {
    throw refused(
      'no-event-time',
      `source "${timeless.uid}" has no event time of its own: say where a record has it, { timestamp: (value) => … }, or`,
    )
  }
}

const refused = (reason: string, why: string): WeirError =>
  new WeirError(
    { code: 'WATERMARK_MODE_REFUSED', kind: 'invalid', reason },
    `checkpoints are to be cut at an event time, and ${why} ${reason === 'bound-without-mode' ? 'set checkpoint.mode to "watermark"' : 'leave out checkpoint.mode'}.`,
  )
