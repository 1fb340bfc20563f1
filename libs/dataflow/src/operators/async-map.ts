/**
 * One value in, one value out, by a function that takes time: calls of a service, a database, a model. Key and event time stay.
 *
 * - A bounded number of calls is open at once; the stage takes nothing new while one waits for room.
 * - A try ends by its timeout at the latest, whatever the function does; one that fails is made again, up to a bound.
 * - A barrier waits for what is open (`call-queue.ts` has the order otherwise), so nothing of it is in a snapshot: an epoch holds
 *   outputs of exactly the records it has read, receipts say what came of what, and a rescale finds nothing to move.
 *
 * A record is called again whenever it is read again: behind a restart everything since the last epoch. The function has its
 * origin as a key to be idempotent by. What it answers then may be something else; only one answer is ever committed.
 */
import { WeirError, emptyOrigins, haveSameColumns, pushOrigin, sliceOrigins } from '@weir/model'
import type { Key, OperatorUid, Origins, RecordBatch, Watermark } from '@weir/model'
import { CallQueue, type CallOutcome, type Slot } from '../call-queue.ts'
import { switchOf, type Switch } from '../degrade-switch.ts'
import type { AsyncMapNode } from '../graph.ts'
import type { AsyncCalls, CallPort, Collector, Operator, OperatorContext } from '../operator.ts'
import { originAt, type Origin, type OriginNames } from '../origin.ts'
import type { Refuse } from '../ports.ts'
import { isThenable, operatorFailed, refuseNone } from '../user-code.ts'

/** Handed on at once. */
const BATCH_RECORDS_MAX = 1_000

/** What a function is told of the record it is called with. */
export interface CallContext {
  /** Aborted when the try has timed out, or the attempt of the job is over: give it to what you call. */
  readonly signal: AbortSignal
  /** Event time, ms. */
  readonly timestamp: number
  readonly key: Key | null
  /** Where the record was read: the same whenever it is called again. Null behind a window. */
  readonly origin: Origin | null
  /** From 1. */
  readonly attempt: number
  /** How the job's degrade switch stands (`degradable`): the same for all records between two barriers. */
  readonly degraded: boolean
}

/** A record with everything that travels with it: a batch of one. */
type Input = RecordBatch

export class AsyncMap implements Operator {
  readonly #node: Omit<AsyncMapNode, 'kind'>
  readonly #queue: CallQueue<Input>
  #uid: OperatorUid
  #refuse: Refuse = refuseNone
  #port!: CallPort
  #names: OriginNames | undefined
  /** What ends with the attempt: calls that are open, and pauses before the next try. */
  readonly #open = new Set<(reason: unknown) => void>()
  #degraded!: Switch
  readonly calls: AsyncCalls

  constructor(node: Omit<AsyncMapNode, 'kind'>) {
    this.#node = node
    this.#uid = node.uid
    const queue = (this.#queue = new CallQueue<Input>(node.mode, node.capacity))
    this.calls = {
      get isEmpty() {
        return queue.isEmpty
      },
      get isFull() {
        return queue.waiting > 0
      },
      emit: (out) => this.#emit(out),
    }
  }

  open(context: OperatorContext): void {
    this.#uid = context.uid
    this.#refuse = context.refuse
    this.#names = context.origins
    this.#degraded = switchOf(context)
    if (context.calls === undefined) throw notHere(this.#uid)
    this.#port = context.calls
    const { signal } = this.#port
    signal.addEventListener('abort', () => this.#open.forEach((stop) => stop(signal.reason)), { once: true })
  }

  onBatch({ keys, values, timestamps, origins }: RecordBatch): void {
    for (let i = 0; i < values.length; i++) {
      this.#queue.push({
        keys: keys && [keys[i]!],
        values: [values[i]],
        timestamps: [timestamps[i]!],
        origins: origins && sliceOrigins(origins, i, i + 1),
      })
    }
    this.#start()
  }

  onWatermark(timestamp: Watermark, out: Collector): void {
    if (this.#queue.isEmpty) out.watermark(timestamp)
    else this.#queue.watermark(timestamp)
  }

  onEnd(): void {}

  #emit(out: Collector): void {
    if (this.#port.isHeld()) return
    let rows = new Rows()
    const flush = (): void => {
      if (rows.values.length > 0) out.emit(rows.batch())
      rows = new Rows()
    }
    for (let taken = this.#queue.take(); taken !== undefined; taken = this.#queue.take()) {
      if (taken.kind === 'watermark') {
        flush()
        out.watermark(taken.timestamp)
        if (this.#port.isHeld()) break
        continue
      }
      const { input, outcome } = taken.slot
      if (!rows.fits(input)) flush()
      if ('error' in outcome!) this.#refuse(input, 0, this.#failed(outcome.error, input))
      else if (rows.add(input, outcome!.value) >= BATCH_RECORDS_MAX) flush()
    }
    flush()
    this.#start()
  }

  #start(): void {
    for (let slot = this.#queue.next(); slot !== undefined; slot = this.#queue.next()) this.#try(slot, 1)
  }

  #try(slot: Slot<Input>, attempt: number): void {
    const { timeoutMs } = this.#node
    const call = new AbortController()
    let isOver = false
    const end = (outcome: CallOutcome): void => {
      if (isOver) return // it comes back behind its timeout, or the attempt's end
      isOver = true
      cancel()
      this.#open.delete(stop)
      this.#ended(slot, attempt, outcome)
    }
    const cancel = this.#port.after(timeoutMs, () => {
      const error = timedOut(this.#uid, timeoutMs, attempt)
      end({ error })
      call.abort(error)
    })
    const stop = (reason: unknown): void => {
      isOver = true
      cancel()
      call.abort(reason)
    }
    this.#open.add(stop)
    try {
      const answer = this.#node.call(slot.input.values[0], this.#contextOf(slot.input, call.signal, attempt))
      if (!isThenable(answer)) return end({ value: answer })
      Promise.resolve(answer).then(
        (value) => end({ value }),
        (error: unknown) => end({ error }),
      )
    } catch (error) {
      end({ error })
    }
  }

  #ended(slot: Slot<Input>, attempt: number, outcome: CallOutcome): void {
    if ('error' in outcome && attempt <= this.#node.retries && this.#isWorthIt(outcome.error)) {
      const pause = this.#port.after(this.#backoffMs(attempt), () => {
        this.#open.delete(pause)
        this.#try(slot, attempt + 1)
      })
      this.#open.add(pause)
      return
    }
    this.#queue.back(slot, outcome)
    this.#port.ready()
  }

  #contextOf(input: Input, signal: AbortSignal, attempt: number): CallContext {
    const degraded = this.#degraded
    return {
      ...{ signal, timestamp: input.timestamps[0]!, key: input.keys?.[0] ?? null, attempt },
      origin: originAt(input, 0, this.#names),
      get degraded() {
        return degraded()
      },
    }
  }

  #isWorthIt(error: unknown): boolean {
    try {
      return this.#node.retryIf?.(error) ?? true
    } catch {
      return false
    }
  }

  /** Doubled with every try. */
  #backoffMs(attempt: number): number {
    const { backoffMs, backoffMsMax } = this.#node
    return Math.min(backoffMs * 2 ** (attempt - 1), backoffMsMax)
  }

  /** Whether it fails again nobody knows: without dead letters the attempt restarts, and the record is called again. */
  #failed(error: unknown, input: Input): WeirError {
    const failed = operatorFailed(error, this.#uid, input, 0)
    if (this.#node.onFailure === 'dead-letter' && this.#refuse !== refuseNone) return failed
    return new WeirError({ ...failed.facts, kind: 'restart' }, failed.message, { cause: error })
  }
}

/** What has come back, with what travels with it. */
class Rows {
  readonly values: unknown[] = []
  readonly #timestamps: number[] = []
  #keys: Key[] | null = null
  #origins: Origins | undefined

  /** May it stand in the same batch? */
  fits({ origins }: Input): boolean {
    return this.values.length === 0 || haveSameColumns(origins, this.#origins)
  }

  /** Answers how many there are. */
  add({ keys, timestamps, origins }: Input, value: unknown): number {
    if (keys !== null) (this.#keys ??= []).push(keys[0]!)
    this.#timestamps.push(timestamps[0]!)
    if (origins !== undefined) {
      this.#origins ??= emptyOrigins(origins, origins.ordinals !== null)
      pushOrigin(this.#origins, origins, 0)
    }
    return this.values.push(value)
  }

  batch(): RecordBatch {
    return { keys: this.#keys, values: this.values, timestamps: this.#timestamps, origins: this.#origins }
  }
}

function timedOut(operatorUid: OperatorUid, timeoutMs: number, attempt: number): WeirError {
  return new WeirError(
    { code: 'CALL_TIMED_OUT', kind: 'invalid', operatorUid, timeoutMs, attempt },
    `operator "${operatorUid}": the call had not come back after ${timeoutMs} ms (try ${attempt}). Give it a longer timeout, or ` +
      'make fewer calls at once: capacity.',
  )
}

const notHere = (operatorUid: OperatorUid): WeirError =>
  new WeirError(
    { code: 'CALLS_NOT_HERE', kind: 'invalid', operatorUid },
    `operator "${operatorUid}" makes calls, and nobody waits for them here: run() is synchronous. Test its function by itself, ` +
      'or the transform in a job.',
  )
