import { operatorUid } from '@weir/model'
import { expect, test } from 'vitest'
import type { GraphNode, JobDefinition, JobSettings } from './graph.ts'
import { thrown } from './operators/fixture.ts'
import { checkWatermarkMode } from './watermark-mode.ts'
import { cutBoundMsOf, defaultSettings } from './settings.ts'

const source = (timestamp: ((value: unknown) => number) | null): GraphNode => ({
  kind: 'source',
  uid: operatorUid('in'),
  descriptor: { connector: 'kafka', topic: 't' },
  decode: null,
  timestamp,
  outOfOrderMs: 0,
  recordsPerSecond: null,
})
const jobOf = (
  checkpoint: Partial<JobSettings['checkpoint']>,
  { timeless = false, ...over }: Partial<JobSettings> & { timeless?: boolean } = {},
): JobDefinition => ({
  kind: 'weir.job',
  version: 1,
  name: 'j',
  settings: { ...defaultSettings, ...over, checkpoint: { ...defaultSettings.checkpoint, ...checkpoint } },
  graph: { nodes: [source(timeless ? null : () => 1)], edges: [] },
})

test('a job with event time may be cut at one; by default at most half the alignment time ahead of its slowest source', () => {
  const job = jobOf({ mode: 'watermark' })
  expect(() => checkWatermarkMode(job)).not.toThrow()
  expect(cutBoundMsOf(job.settings)).toBe(60_000)
  expect(cutBoundMsOf(jobOf({ mode: 'watermark', cutBoundMs: 5 }).settings)).toBe(5)
  expect(cutBoundMsOf(jobOf({}).settings)).toBeNull()
})

test.each<[string, JobDefinition]>([
  ['unaligned', jobOf({ mode: 'watermark', unaligned: true })],
  ['unaligned', jobOf({ mode: 'watermark', alignedTimeoutMs: 100 })],
  ['scope', jobOf({ mode: 'watermark' }, { commit: { scope: 'continuous', intervalMs: 100 } })],
  ['no-event-time', jobOf({ mode: 'watermark' }, { timeless: true })],
  ['bound-without-mode', jobOf({ cutBoundMs: 5 })],
])('B9: %s is refused, and what to do instead is said', (reason, job) => {
  const error = thrown(() => checkWatermarkMode(job))
  expect(error).toMatchObject({ code: 'WATERMARK_MODE_REFUSED', kind: 'invalid', facts: { reason } })
  expect(error.message).toMatch(/, or (leave out|set) checkpoint\.mode/)
})
