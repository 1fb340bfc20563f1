/** The loop of a stage with a source at its head: barriers between two batches, then what was read, at its event time. */
import { readBatch } from '@weir/dataflow'
import { WATERMARK_MAX, type Epoch } from '@weir/model'
import { settleCalls, settleCallsBeside, type CallsLeft } from './async-calls.ts'
import { sourceOrigins } from './asides.ts'
import { heldUp } from './buffer-timeout.ts'
import { withBatch } from './failure-origin.ts'
import { endFirings } from './firings.ts'
import { TURN_MS, advance, drain, fireTimers, room, tellIdle, waitOr } from './flow.ts'
import type { Participation } from './participation.ts'
import { PollSize } from './poll-size.ts'
import { emitSampled, emitSampledToSplit } from './sampled-batches.ts'
import type { SliceScope } from './slice-scope.ts'
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
  const { node, reader, cutting, timing, pace } = source
  const wake = scope.wakeOf(run.stage.index)
  pace.begin()
  /** Handed on, and what lies behind has not been asked yet whether it is ready for more. */
  let handedOn: { readonly records: number; readonly atMs: number } | null = null
  const injected = new Set<Epoch>()
  let ended = false
  let haltedAt: Epoch | null = null
  advance(run, source.watermarks.current)
  const size = new PollSize(TURN_MS)
  let turnAt = clock.monotonic()
  run.clock.begin(turnAt)
  const inject = (): void => {
    for (const { checkpoint, cut } of participation.triggers) {
      if (injected.has(checkpoint.epoch)) continue
      injected.add(checkpoint.epoch)
      if (checkpoint.epoch === participation.lastEpoch) haltedAt = checkpoint.epoch
      if (injected.size > 16) injected.delete(injected.values().next().value!)
      if (cut.mode === 'watermark' && cutting) cutting.ask({ checkpoint, time: cut.time })
      else participation.snapshot(run, checkpoint, { alignMs: 0, overtaken: null })
    }
    const due = cutting?.due
    if (due) {
      participation.snapshot(run, due.checkpoint, { alignMs: 0, overtaken: null, exceptions: due })
      cutting!.injected()
    }
  }
  const isHalted = (): boolean => haltedAt !== null && haltedAt === participation.lastEpoch
  // A barrier waits for calls: then it cannot be injected while there is no room either.
  const meanwhile = run.calls.length === 0 && run.outputs.some(({ overtaking }) => overtaking) ? inject : undefined
  const isDue = (): boolean =>
    Boolean(cutting?.due) || participation.triggers.some(({ checkpoint }) => !injected.has(checkpoint.epoch))
  const settle = (until: CallsLeft): Promise<void> | undefined =>
    run.calls.length > 0 ? settleCalls(scope, run, wake, until) : undefined
  while (!scope.over) {
    if (run.calls.length > 0) {
      await settle('room')
      if (isDue()) await settle('none') // also a barrier that was asked for while there was no room
      if (scope.over) return
    }
    inject()
    if (ended || isHalted()) {
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
    if (isHalted()) continue
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
      for (const output of run.outputs) output.flush()
      run.bufferTimeout?.flushed()
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
      const count = polled.kind === 'raw' ? polled.raw.count : polled.values.length
      scope.audit?.read(run.stage.head, polled)
      const fold = source.watermarks.foldOf(polled.split)
      const sampled = scope.traces?.read(source, polled) ?? null
      const batch = readBatch(node, polled, sourceOrigins(scope, run, node, polled, sampled), fold)
      const fresh = freshOf(run, polled, count)
      pace.giveBack(granted - fresh)
      if (pace.isAdaptive) handedOn = { records: count, atMs: clock.monotonic() }
      const isFirst = scope.recordsIn === scope.recordsBefore
      scope.recordsIn += count
      if (isFirst) deps.begun()
      source.read += count
      source.emitted += batch.values.length
      if (polled.kind === 'raw') source.latency.read(polled.raw.timestamps[0]!, fresh)
      const watermark = source.watermarks.observe(polled.split, batch.timestamps)
      if (run.isIdle) {
        await settle('none')
        tellIdle(run, false)
      }
      try {
        if (run.splits === null) {
          if (sampled !== null) emitSampled(scope, run, batch, sampled)
          else if (batch.values.length > 0) run.input.emit(batch)
        } else {
          const parts = sampled
            ? emitSampledToSplit(scope, run, polled, batch, sampled)
            : emitToSplit(run, polled, batch)
          while (parts.next().done !== true) {
            await endFirings(scope, run, wake)
            if (scope.over) return
          }
        }
      } catch (error) {
        throw withBatch(error, node, polled)
      }
      advance(run, watermark)
      size.handedOn(count, clock.monotonic() - polledAt)
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
      // Records may lie in half-filled frames: others work while this thread serves its sockets.
      for (const output of run.outputs) output.flush()
      run.bufferTimeout?.flushed()
      await turn()
      turnAt = clock.monotonic()
    }
  }
}
