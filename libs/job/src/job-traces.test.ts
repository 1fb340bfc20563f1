import { attempt, digest, epoch, generation, jobId, subtask, taskManagerId } from '@weir/model'
import { expect, test } from 'vitest'
import { JobTraces, type JobSpan, type JobTracer } from './job-traces.ts'
import type { SliceCommand } from './ports.ts'
import type { JobEffect } from './state.ts'

/** Writes down what begins and ends; a span's traceparent is its path. */
class Transcript implements JobTracer {
  readonly lines: string[] = []
  readonly #isSampled: boolean

  constructor(isSampled = true) {
    this.#isSampled = isSampled
  }

  begin(name: string, parent: string | null): JobSpan {
    const path = parent === null ? name : `${parent}/${name}`
    this.lines.push(`begin ${path}`)
    return {
      traceparent: this.#isSampled ? path : null,
      end: (failure) => this.lines.push(failure === undefined ? `end ${path}` : `end ${path}: ${failure}`),
      within: (call) => {
        this.lines.push(`in ${path}`)
        return call()
      },
    }
  }
}

const checkpoint = { generation: generation(1), epoch: epoch(7), attempt: attempt(2) }
const slice = { jobId: jobId('j'), attempt: { generation: generation(1), attempt: attempt(2) }, subtask: subtask(0) }
const to = taskManagerId('a')
const ref = { ...checkpoint, key: 'k', digest: digest('d'), parentEpoch: epoch(6) }
const trigger: JobEffect = { type: 'trigger', checkpoint, last: false, cut: { mode: 'barrier', why: null } }
const commit = { type: 'commit', permit: { manifest: ref }, upTo: new Map() } as unknown as JobEffect
const giveUp = {
  type: 'give-up',
  checkpoint,
  reason: 'timeout',
  detail: 'no ack',
  waitingFor: [],
  afterMs: 5,
} as unknown as JobEffect

function driven(transcript: JobTracer | null, effects: readonly JobEffect[]): JobTraces {
  const traces = new JobTraces(jobId('j'), transcript)
  for (const effect of effects) traces.within(effect, () => {})
  return traces
}

test('a checkpoint is one trace: snapshots, manifest, publish, commit, one after the other', () => {
  const transcript = new Transcript()
  driven(transcript, [
    trigger,
    { type: 'write-manifest', checkpoint, manifest: {} as never },
    { type: 'publish', checkpoint, ref, again: 0 } as unknown as JobEffect,
    { type: 'published', ref, durationMs: 1 } as unknown as JobEffect,
    commit,
    { type: 'final', epoch: epoch(7), durationMs: 2 } as unknown as JobEffect,
  ])
  expect(transcript.lines.filter((line) => !line.startsWith('in '))).toEqual([
    'begin weir.checkpoint',
    'begin weir.checkpoint/snapshots',
    'end weir.checkpoint/snapshots',
    'begin weir.checkpoint/manifest',
    'end weir.checkpoint/manifest',
    'begin weir.checkpoint/publish',
    'end weir.checkpoint/publish',
    'begin weir.checkpoint/commit',
    'end weir.checkpoint/commit',
    'end weir.checkpoint',
  ])
})

test('one that is given up says why, also in the stage it had come to', () => {
  const transcript = new Transcript()
  driven(transcript, [trigger, giveUp])
  expect(transcript.lines.slice(-2)).toEqual([
    'end weir.checkpoint/snapshots: timeout: no ack',
    'end weir.checkpoint: timeout: no ack',
  ])
})

test('the next one begins while one waits for its commits, and each ends by itself', () => {
  const transcript = new Transcript()
  const next = { ...checkpoint, epoch: epoch(8) }
  const traces = driven(transcript, [trigger, commit, { ...trigger, checkpoint: next } as JobEffect])
  traces.within({ type: 'final', epoch: epoch(7), durationMs: 2 } as unknown as JobEffect, () => {})
  expect(transcript.lines.filter((line) => line === 'end weir.checkpoint')).toHaveLength(1)
  traces.close('over')
  expect(transcript.lines.at(-1)).toBe('end weir.checkpoint: over')
})

test('a start is placed, deployed, recovered and run; the end of the attempt ends whatever is open', () => {
  const transcript = new Transcript()
  const traces = driven(transcript, [
    { type: 'request-slots', count: 1 },
    { type: 'request-slots', count: 2 },
    { type: 'deploy', to, slice } as JobEffect,
    { type: 'deploy', to, slice } as JobEffect,
    { type: 'recover', to, slice, snapshot: null, poison: {} as never },
    { type: 'run', to, slice, peers: [] },
  ])
  traces.running()
  expect(transcript.lines.filter((line) => !line.startsWith('in '))).toEqual([
    'begin weir.start',
    'begin weir.start/place',
    'end weir.start/place',
    'begin weir.start/deploy',
    'end weir.start/deploy',
    'begin weir.start/recover',
    'end weir.start/recover',
    'begin weir.start/run',
    'end weir.start/run',
    'end weir.start',
  ])
  traces.within(trigger, () => {})
  traces.within({ type: 'stop', to, slice, mode: 'leave' }, () => {})
  expect(transcript.lines.at(-1)).toBe('end weir.checkpoint: the attempt has ended')
})

const commands: SliceCommand[] = [
  { type: 'trigger', slice, checkpoint, last: false, cut: { mode: 'barrier', why: null } },
  { type: 'give-up', slice, checkpoint, timedOut: true },
  { type: 'stop', slice, mode: 'leave' },
]

test('commands of a checkpoint carry the span they belong to, others none', () => {
  const traces = driven(new Transcript(), [trigger])
  expect(commands.map((command) => traces.carried(command))).toEqual([
    { ...commands[0], traceparent: 'weir.checkpoint/snapshots' },
    commands[1],
    commands[2],
  ])
})

test('what is not sampled travels nowhere and has no stages; without a tracer commands are the same objects', () => {
  const transcript = new Transcript(false)
  expect(driven(transcript, [trigger]).carried(commands[0]!)).toBe(commands[0])
  expect(transcript.lines).toEqual(['begin weir.checkpoint', 'in weir.checkpoint'])
  expect(driven(null, [trigger]).carried(commands[0]!)).toBe(commands[0])
})
