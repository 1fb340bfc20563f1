import { attempt, epoch, generation, jobId, subtask } from '@weir/model'
import type { Tracing } from '@weir/telemetry'
import type { SliceReportMessage } from '@weir/wire'
import { expect, test } from 'vitest'
import { SliceTraces } from './slice-traces.ts'

const slice = { jobId: jobId('j'), attempt: { generation: generation(1), attempt: attempt(2) }, subtask: subtask(3) }
const checkpoint = { generation: generation(1), epoch: epoch(7), attempt: attempt(2) }
const trigger = { type: 'trigger', slice, checkpoint, last: false, cut: { mode: 'barrier', why: null } } as const
const ack = { type: 'ack', slice, checkpoint, alignMs: 2, syncMs: 3, asyncMs: 20, cutMs: 10 } as SliceReportMessage
const deploy = {
  type: 'deploy',
  slice,
  bundleDigest: 'd',
  graphHash: 'g',
  parallelism: 1,
  traceparent: 'start',
} as const
const commit = { type: 'commit', slice, epoch: epoch(7), manifestDigest: 'm', upTo: {}, traceparent: 'cp' } as const

/** Writes down what begins, ends and was. */
function world() {
  const lines: string[] = []
  const why = (failure?: string): string => (failure === undefined ? '' : `: ${failure}`)
  const tracing: Tracing = {
    begin(name, parent) {
      lines.push(`begin ${parent}/${name}`)
      return {
        traceparent: name,
        end: (failure) => lines.push(`end ${name}${why(failure)}`),
        within: (call) => {
          lines.push(`in ${name}`)
          return call()
        },
      }
    },
    record: (name, parent, { epoch: n }, fromMs, toMs, failure) =>
      lines.push(`${parent}/${name} of ${n} ${fromMs}–${toMs}${why(failure)}`),
    told: () => expect.unreachable(),
    ids: () => ({}),
    close: () => Promise.resolve(),
  }
  let nowMs = 1_000
  const traces = new SliceTraces(tracing, () => nowMs)
  return { lines, traces, at: (ms: number) => void (nowMs = ms) }
}

test('an acknowledged epoch was aligned, cut and uploaded, one behind the other since its trigger', () => {
  const { lines, traces } = world()
  traces.command({ ...trigger, traceparent: 'cp' })
  traces.report(ack)
  expect(lines).toEqual([
    'cp/slice.align of 7 1000–1007',
    'cp/slice.snapshot of 7 1007–1010',
    'cp/slice.upload of 7 1010–1020',
  ])
})

test('one that was given up or declined ends there with the reason, and a late acknowledgement adds nothing', () => {
  const { lines, traces, at } = world()
  traces.command({ ...trigger, traceparent: 'cp' })
  at(6_000)
  traces.command({ type: 'give-up', slice, checkpoint, timedOut: true })
  traces.report(ack)
  expect(lines).toEqual(['cp/slice.align of 7 1000–6000: given up'])
})

test('commands without a context are not traced', () => {
  const { lines, traces } = world()
  traces.command(trigger)
  traces.report(ack)
  traces.report({ type: 'committed', slice, epoch: epoch(7) })
  expect(lines).toEqual([])
})

test('deploy and commit last until their report; what fails or stops meanwhile says why', () => {
  const { lines, traces } = world()
  const failure = { code: 'X', kind: 'restart' as const, message: 'no such bundle', facts: {} }
  traces.command(deploy)
  traces.within(slice, () => lines.push('logged'))
  traces.report({ type: 'deployed', slice, exchangeAddress: 'h:1' })
  traces.command(commit)
  traces.report({ type: 'committed', slice, epoch: epoch(7) })
  traces.command(deploy)
  traces.report({ type: 'failed', slice, failure })
  traces.within(slice, () => lines.push('logged'))
  expect(lines).toEqual([
    'begin start/slice.deploy',
    'in slice.deploy',
    'logged',
    'end slice.deploy',
    'begin cp/slice.commit',
    'end slice.commit',
    'begin start/slice.deploy',
    'end slice.deploy: no such bundle',
    'logged',
  ])
})
