/** What the tests of the job machine share: a job with its clock, and what its slices tell. */
import type { ManifestRef, SubtaskSnapshot } from '@weir/checkpoint'
import type { JobSettings } from '@weir/dataflow'
import { attempt, digest, epoch, generation, jobId, subtask, type CheckpointId } from '@weir/model'
import { jobFor, stepJob } from './machine.ts'
import type { JobEffect, JobEvent, JobSpec, JobState, SliceId, UntimedEvent } from './state.ts'

export const specOf = (settings: JobSettings, stages = 2): JobSpec => ({
  ...{ jobId: jobId('j'), name: 'j', bundleDigest: digest('b'), graphHash: 'g' },
  plan: { version: 1, name: 'j', settings, nodes: [], edges: [], stages, sources: ['in'], sinks: ['out'] },
})

/** What was done is in `effects`. */
export class MachineRun {
  state: JobState
  effects: JobEffect[] = []
  now = 0
  constructor(of: JobSpec) {
    this.state = jobFor(of, generation(1))
  }
  do(...events: UntimedEvent[]): this {
    for (const event of events) {
      const step = stepJob(this.state, { ...event, now: this.now, wallClock: this.now, random: 0.5 } as JobEvent)
      this.state = step.state
      this.effects.push(...step.effects)
    }
    return this
  }
  later(ms: number): this {
    this.now += ms
    return this.do({ type: 'tick' })
  }
}

export const slice = (i: number, a = 1): SliceId => ({
  ...{ jobId: jobId('j'), attempt: { generation: generation(1), attempt: attempt(a) }, subtask: subtask(i) },
})
export const cp = (n: number, a = 1): CheckpointId => ({
  ...{ generation: generation(1), epoch: epoch(n), attempt: attempt(a) },
})
export const ref = (n: number): ManifestRef => ({
  ...{ epoch: epoch(n), generation: generation(1), attempt: attempt(1), parentEpoch: epoch(n - 1) },
  ...{ key: `m${n}`, digest: digest(`d${n}`) },
})
/** @param handles sequences of what its sink has prepared */
export const snapshot = (i: number, handles: number[], recordsIn = 10) => ({
  ...{ subtask: subtask(i), sources: {}, segments: [], watermarks: {}, recordsIn },
  sinks: { out: { sequence: handles.at(-1) ?? 0, handles: handles.map((sequence) => ({ sequence })) } },
})
export const ackOf = (slice: SliceId, checkpoint: CheckpointId, snapshot: SubtaskSnapshot): UntimedEvent => ({
  ...{ type: 'ack', slice, checkpoint, snapshot },
  ...{ alignMs: 0, syncMs: 0, asyncMs: 0 },
})
