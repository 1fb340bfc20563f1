/** The loop of a stage with a source at its head: barriers between two batches, then what was read, at its event time. */
import { readBatch, type SourceBatch } from '@weir/dataflow'
import { WATERMARK_MAX, type RecordBatch, type Watermark } from '@weir/model'
import { settleCalls, settleCallsBeside, type CallsLeft } from './async-calls.ts'
import { sourceOrigins } from './asides.ts'
import { heldUp } from './buffer-timeout.ts'
import { withBatch } from './failure-origin.ts'
import { endFirings } from './firings.ts'
import { TURN_MS, advance, drain, fireTimers, room, tellIdle, waitOr } from './flow.ts'
import type { Participation } from './participation.ts'
import { PollSize } from './poll-size.ts'
import type { Sampled } from './record-traces.ts'
import { emitSampled, emitSampledToSplit } from './sampled-batches.ts'
import type { SliceScope } from './slice-scope.ts'
import { SourceBarriers } from './source-barriers.ts'
import { emitToSplit, endSplit, freshOf, replayPoll } from './split-runs.ts'
import type { SourceRun, StageRun } from './stage-run.ts'

export interface SourceLoopDeps {
  readonly scope: SliceScope
  readonly participation: Participation
  /** The first records of the slice in this attempt are read. */
  readonly begun: () => void
  /** The stage will emit no more. */
  readonly ended: () => void
}

/** Ends with the slice: also behind its input, barriers follow. */
export async function sourceLoop(run: StageRun, source: SourceRun, deps: SourceLoopDeps): Promise<void> {
  const { scope, participation } = deps
  const { clock, turn } = scope.deps
  const { node, reader, timing, pace } = source
  const wake = scope.wakeOf(run.stage.index)
  pace.begin()
  /** Handed on, and what lies behind has not been asked yet whether it is ready for more. */
  let handedOn: { readonly records: number; readonly atMs: number } | null = null
  let ended = false
  advance(run, source.watermarks.current)
  const size = new PollSize(TURN_MS)
  let turnAt = clock.monotonic()
  run.clock.begin(turnAt)
  const barriers = new SourceBarriers(run, source, participation)
  // A barrier waits for calls: then it cannot be injected while there is no room either.
  const meanwhile =
    run.calls.length === 0 && run.outputs.some(({ overtaking }) => overtaking) ? barriers.inject : undefined
  const settle = (until: CallsLeft): Promise<void> | undefined =>
    run.calls.length > 0 ? settleCalls(scope, run, wake, until) : undefined
  while (!scope.over) {
    if (run.calls.length > 0) {
      await settle('room')
      if (barriers.isDue) await settle('none') // also a barrier that was asked for while there was no room
      if (scope.over) return
    }
    barriers.inject()
    if (ended || barriers.isHalted) {
      run.clock.waits('idle', clock.monotonic())
      await wake.wait()
      run.clock.goesOn(clock.monotonic())
      continue
    }
    if (fireTimers(scope, run)) await drain(scope, run)
    await room(scope, run, wake, meanwhile)
    if (handedOn !== null) {
      pace.taken(handedOn.records, handedOn.atMs)
      handedOn = null
    }
    if (barriers.isHalted) continue
    const granted = pace.take(size.records)
    // What is only read again is not paced: it holds up everybody behind it. Meanwhile the other splits wait.
    const again = granted === 0 ? replayPoll(run, size.records, timing?.held()) : null
    if (granted === 0 && again === null) {
      run.clock.waits('idle', clock.monotonic())
      await heldUp(run, waitOr(scope, wake, pace.waitMs()))
      run.clock.goesOn(clock.monotonic())
      continue
    }
    const polling = again ? reader.poll(again.records, again.held) : reader.poll(granted, timing?.held())
    run.clock.waits('idle', clock.monotonic())
    const polled = await (run.calls.length > 0 ? settleCallsBeside(scope, run, wake, polling) : heldUp(run, polling))
    const polledAt = clock.monotonic()
    run.clock.goesOn(polledAt)
    if (scope.over) return
    timing?.polled(polled)
    if (polled === 'idle') {
      pace.giveBack(granted)
      flush(run)
      advance(run, source.watermarks.current)
    } else if (polled === 'end') {
      ended = true
      await settle('none')
      if (scope.over) return
      tellIdle(run, false)
      advance(run, WATERMARK_MAX)
      run.input.end()
      deps.ended()
    } else if (polled.kind === 'split-end') {
      pace.giveBack(granted)
      if (run.splits !== null) {
        for (const ends = endSplit(run, polled.split); ends.next().done !== true;) {
          await endFirings(scope, run, wake)
          if (scope.over) return
        }
      }
      advance(run, source.watermarks.end(polled.split))
    } else {
      const read = recordsOf(run, source, polled, deps)
      pace.giveBack(granted - read.fresh)
      if (pace.isAdaptive) handedOn = { records: read.count, atMs: clock.monotonic() }
      if (run.isIdle) {
        await settle('none')
        tellIdle(run, false)
      }
      try {
        const parts = handOn(scope, run, polled, read)
        while (parts !== null && parts.next().done !== true) {
          await endFirings(scope, run, wake)
          if (scope.over) return
        }
      } catch (error) {
        throw withBatch(error, node, polled)
      }
      advance(run, read.watermark)
      size.handedOn(read.count, clock.monotonic() - polledAt)
    }
    if (timing !== null && run.isIdle !== source.watermarks.isIdle) {
      await settle('none')
      tellIdle(run, source.watermarks.isIdle)
    }
    if (run.pending.length > 0 || run.refused.length > 0) await drain(scope, run)
    if (run.moved.length > 0) run.continuous?.sink.advance(run.moved.splice(0))
    const nowMs = clock.monotonic()
    run.bufferTimeout?.look(nowMs)
    if (nowMs - turnAt >= TURN_MS) {
      flush(run) // records may lie in half-filled frames: others work while this thread serves its sockets
      await turn()
      turnAt = clock.monotonic()
    }
  }
}

interface Read {
  readonly batch: RecordBatch
  readonly sampled: Sampled | null
  /** Also those that could not be decoded. */
  readonly count: number
  /** For the first time. */
  readonly fresh: number
  readonly watermark: Watermark
}

/** What was polled, decoded and counted. */
function recordsOf(run: StageRun, source: SourceRun, polled: SourceBatch, { scope, begun }: SourceLoopDeps): Read {
  const { node, watermarks, latency } = source
  const count = polled.kind === 'raw' ? polled.raw.count : polled.values.length
  scope.audit?.read(run.stage.head, polled)
  const fold = watermarks.foldOf(polled.split)
  const sampled = scope.traces?.read(source, polled) ?? null
  const batch = readBatch(node, polled, sourceOrigins(scope, run, node, polled, sampled), fold)
  const fresh = freshOf(run, polled, count)
  const isFirst = scope.recordsIn === scope.recordsBefore
  scope.recordsIn += count
  if (isFirst) begun()
  source.read += count
  source.emitted += batch.values.length
  if (polled.kind === 'raw') latency.read(polled.raw.timestamps[0]!, fresh)
  return { batch, sampled, count, fresh, watermark: watermarks.observe(polled.split, batch.timestamps) }
}

/** Into the chain. Not null: of a split that has its own, parts to be gone through, with firings to be ended between two. */
function handOn(scope: SliceScope, run: StageRun, polled: SourceBatch, read: Read): Generator<void> | null {
  const { batch, sampled } = read
  if (run.splits !== null)
    return sampled ? emitSampledToSplit(scope, run, polled, batch, sampled) : emitToSplit(run, polled, batch)
  if (sampled !== null) emitSampled(scope, run, batch, sampled)
  else if (batch.values.length > 0) run.input.emit(batch)
  return null
}

function flush(run: StageRun): void {
  for (const output of run.outputs) output.flush()
  run.bufferTimeout?.flushed()
}
