/** Commands about one slice ↔ messages of control.proto. Pure, both ways. */
import { PLAIN_CUT, type SubtaskSnapshot } from '@weir/checkpoint'
import { NO_POISON, type Poison } from '@weir/dataflow'
import type { SliceCommand } from '@weir/job'
import { epoch, operatorUid, subtask, taskManagerId } from '@weir/model'
import { control } from '@weir/proto'
import { checkpointIn, json, limitIn, limitOut, optionalJson, optionallyParsed, sliceIn, sliceOut } from './words.ts'

export function encodeCommand(command: SliceCommand): control.Command['body'] {
  const slice = sliceOut(command.slice)
  const { traceparent } = command
  const traced = traceparent === undefined ? {} : { traceparent }
  switch (command.type) {
    case 'deploy': {
      const { bundleDigest, graphHash, parallelism } = command
      return { $case: 'deploy', value: { slice, bundleDigest, graphHash, parallelism, ...traced } }
    }
    case 'recover':
      return {
        $case: 'recover',
        value: { slice, snapshot: optionalJson(command.snapshot), poison: json(command.poison), ...traced },
      }
    case 'run':
      return { $case: 'run', value: { slice, peers: [...command.peers] } }
    case 'trigger': {
      const { checkpoint, last, cut, degraded = false } = command
      const cutTime = cut.mode === 'watermark' && { cutTime: cut.time }
      return { $case: 'trigger', value: { slice, checkpoint, last, degraded, ...cutTime, ...traced } }
    }
    case 'give-up':
      return { $case: 'giveUp', value: { slice, checkpoint: command.checkpoint, timedOut: command.timedOut } }
    case 'commit': {
      const { epoch, manifestDigest, upTo } = command
      return { $case: 'commit', value: { slice, epoch, manifestDigest, upTo, ...traced } }
    }
    case 'stop': {
      const mode = command.mode === 'abort' ? control.Stop_Mode.ABORT : control.Stop_Mode.LEAVE
      return { $case: 'stop', value: { slice, mode } }
    }
    case 'align': {
      const bounds = command.bounds.map(({ source, atMost }) => ({ source, ...(atMost !== null && { atMost }) }))
      return { $case: 'align', value: { slice, bounds } }
    }
    case 'rates': {
      const sources = Object.entries(command.limits).map(([source, limit]) => ({ source, ...limitOut(limit) }))
      return { $case: 'rates', value: { slice, sources } }
    }
  }
}

/** Null for what is not about a slice (welcome, notLeader). */
export function decodeCommand(body: control.Command['body']): SliceCommand | null {
  switch (body?.$case) {
    case 'deploy': {
      const { bundleDigest, graphHash, parallelism } = body.value
      const slice = sliceIn(body.value.slice)
      return { type: 'deploy', slice, bundleDigest, graphHash, parallelism, ...tracedIn(body.value) }
    }
    case 'recover': {
      const { slice, snapshot, poison } = body.value
      return {
        type: 'recover',
        slice: sliceIn(slice),
        snapshot: optionallyParsed<SubtaskSnapshot>(snapshot),
        poison: optionallyParsed<Poison>(poison) ?? NO_POISON,
        ...tracedIn(body.value),
      }
    }
    case 'run': {
      const peers = body.value.peers.map((p) => ({
        subtask: subtask(p.subtask),
        taskManagerId: taskManagerId(p.taskManagerId),
        exchangeAddress: p.exchangeAddress,
      }))
      return { type: 'run', slice: sliceIn(body.value.slice), peers }
    }
    case 'trigger': {
      const { last, cutTime: time, degraded } = body.value
      const checkpoint = checkpointIn(body.value.checkpoint)
      const cut = time === undefined ? PLAIN_CUT : { mode: 'watermark' as const, time }
      const slice = sliceIn(body.value.slice)
      return { type: 'trigger', slice, checkpoint, last, cut, ...(degraded && { degraded }), ...tracedIn(body.value) }
    }
    case 'giveUp': {
      const { timedOut } = body.value
      const checkpoint = checkpointIn(body.value.checkpoint)
      return { type: 'give-up', slice: sliceIn(body.value.slice), checkpoint, timedOut }
    }
    case 'commit': {
      const { manifestDigest, upTo } = body.value
      const of = { epoch: epoch(body.value.epoch), manifestDigest, upTo }
      return { type: 'commit', slice: sliceIn(body.value.slice), ...of, ...tracedIn(body.value) }
    }
    case 'stop': {
      const mode = body.value.mode === control.Stop_Mode.ABORT ? 'abort' : 'leave'
      return { type: 'stop', slice: sliceIn(body.value.slice), mode }
    }
    case 'rates': {
      const limits = Object.fromEntries(body.value.sources.map(({ source, ...limit }) => [source, limitIn(limit)]))
      return { type: 'rates', slice: sliceIn(body.value.slice), limits }
    }
    case 'align': {
      const bounds = body.value.bounds.map(({ source, atMost }) => ({
        source: operatorUid(source),
        atMost: atMost ?? null,
      }))
      return { type: 'align', slice: sliceIn(body.value.slice), bounds }
    }
    default:
      return null
  }
}

const tracedIn = ({ traceparent }: { readonly traceparent?: string | undefined }): { traceparent?: string } =>
  traceparent === undefined ? {} : { traceparent }
