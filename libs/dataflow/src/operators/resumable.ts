/**
 * A custom operator in the chain (`resumable.ts` has its contract), and its state in the stage's store: pieces are dealt
 * out over the key groups its subtask owns, so that a rescale, which moves groups, moves them too.
 */
import { WATERMARK_MAX, WATERMARK_MIN, WeirError, asWeirError, keyGroupRange } from '@weir/model'
import type { Key, OperatorUid, RecordBatch, Subtask, Watermark } from '@weir/model'
import { switchOf, type Switch } from '../degrade-switch.ts'
import type { ResumableNode } from '../graph.ts'
import type { Collector, Operator, OperatorContext } from '../operator.ts'
import type { KeyedState, Refuse, StateStore } from '../ports.ts'
import type { ExecuteContext, ResumableOperator, RestoreContext, SnapshotContext } from '../resumable.ts'
import { sameValue } from '../same-value.ts'
import type { OutsOf } from '../keyed-state.ts'
import type { Origin, OriginNames } from '../origin.ts'
import type { SideOutputs } from '../side-output.ts'
import { isThenable, operatorFailed, refuseNone, returnedPromise } from '../user-code.ts'
import { Outputs } from './outputs.ts'

/** Outputs are handed on in batches of about this many records, however many one call emits. */
export const RESUMABLE_BATCH_RECORDS_MAX = 1_000
export const OPERATOR_STATE = 'operator'
/** And the highest event time. */
export const OPERATOR_HOOKS_STATE = 'operator.hooks'
/** Beside the states of the hooks, which are numbered. */
const LATEST = 'latest'
const METHODS = ['prepare', 'execute', 'snapshotState', 'restoreState'] as const

export interface ResumablePlace {
  readonly subtask: Subtask
  readonly parallelism: number
  readonly signal: AbortSignal
  readonly state: Pick<StateStore, 'keyed'>
  /** Those that belong to the subtask in this stage: `operatorGroups`. */
  readonly groups: readonly number[]
}

/** Of a stage behind an exchange, key groups; of one at a source, numbers that are dealt out as splits are. */
export function operatorGroups(
  stage: 'keyed' | 'source',
  { subtask: of, parallelism, maxParallelism }: { subtask: number; parallelism: number; maxParallelism: number },
): number[] {
  const { from, to } = keyGroupRange(of, parallelism, maxParallelism)
  const every = Array.from({ length: maxParallelism }, (_, group) => group)
  return every.filter((group) => (stage === 'keyed' ? group >= from && group < to : group % parallelism === of))
}

interface HookState {
  readonly parallelism: number
  readonly subtask: number
  readonly state: unknown
}

export class Resumable implements Operator {
  readonly uid: OperatorUid
  readonly #operator: ResumableOperator<unknown, unknown, unknown, SideOutputs>
  readonly #sides: readonly string[] | undefined
  #outputs!: Outputs
  #context!: Context
  readonly #place: ResumablePlace
  /** As stored: group → pieces, of which piece i is number ⌊i / groups⌋ of group i mod groups. */
  #stored = new Map<number, unknown[]>()
  /** Since the last barrier, or nothing is stored yet. */
  #dirty = true
  #refuse: Refuse = refuseNone
  /** Highest event time of a record: what is emitted at the end of the input has it. */
  #latest = 0

  /** Throws `OPERATOR_CONTRACT` (invalid) where a method is missing, and what the constructor of the operator throws. */
  constructor(node: ResumableNode, place: ResumablePlace) {
    this.uid = node.uid
    this.#place = place
    this.#operator = node.create()
    this.#sides = node.sides
    const missing = METHODS.filter((name) => typeof this.#operator?.[name] !== 'function')
    if (missing.length > 0) {
      throw new WeirError(
        { code: 'OPERATOR_CONTRACT', kind: 'invalid', operatorUid: node.uid, missing },
        `operator "${node.uid}" has no ${missing.join(', no ')}: process takes a function that returns a new ResumableOperator.`,
      )
    }
    this.#operator.hooks?.seal()
  }

  /** Its state is not what is stored. */
  get dirty(): boolean {
    return this.#dirty
  }

  /** Before anything flows. `restored` null: a fresh start. */
  async restore(restored: RestoreContext | null): Promise<void> {
    const { subtask, parallelism, signal } = this.#place
    await this.#user('prepare', () => this.#operator.prepare({ uid: this.uid, subtask, parallelism, signal }))
    if (restored === null) return
    const pieces = this.#read()
    await this.#user('restore hooks', () => this.#operator.hooks?.restore(this.#readHooks(), restored))
    // Copies: the operator may change what it gets.
    await this.#user('restoreState', () => this.#operator.restoreState(structuredClone(pieces), restored))
    this.#latest = Math.max(0, ...this.#place.groups.map((group) => this.#latestIn(group).get(LATEST) ?? 0))
    this.#dirty = false
  }

  open(context: OperatorContext): void {
    this.#refuse = context.refuse
    this.#outputs = new Outputs(this.uid, this.#sides, context.sides)
    this.#context = new Context(this.#outputs, context)
    this.#context.watermark = context.watermark
  }

  onBatch(batch: RecordBatch, out: Collector): void {
    this.#dirty = true
    const count = batch.values.length
    for (let i = 0; i < count;) i = this.#fill(batch, i, out)
    for (const timestamp of batch.timestamps) if (timestamp > this.#latest) this.#latest = timestamp
  }

  onWatermark(timestamp: Watermark, out: Collector): void {
    // Before it is passed on: windows behind this operator close with it.
    if (timestamp === WATERMARK_MAX) this.#finish(out)
    this.#context.watermark = timestamp
    out.watermark(timestamp)
  }

  onEnd(): void {}

  /**
   * The barrier, before the store's: puts what has changed into the store. Throws `OPERATOR_STATE_INVALID` (invalid), and
   * what the operator throws as `OPERATOR_FAILED` (restart).
   */
  snapshot(context: SnapshotContext): void {
    if (!this.#dirty) return
    this.#write(this.#pieces(context))
    this.#writeHooks(this.#operator.hooks?.snapshotStates() ?? [])
    const latest = this.#latestIn(this.#place.groups[0]!)
    if (latest.get(LATEST) !== this.#latest) latest.put(LATEST, this.#latest)
    this.#dirty = false
  }

  /** Outside of a checkpoint, where nothing follows: answers what would have been stored. */
  snapshotFinal(timestamp: number): readonly unknown[] {
    return this.#pieces({ checkpoint: null, timestamp, final: true })
  }

  async close(): Promise<void> {
    await this.#operator.close?.()
  }

  #finish(out: Collector): void {
    if (this.#operator.finish === undefined) return
    this.#dirty = true
    this.#outputs.begin(undefined, false)
    this.#outputs.of(null, this.#latest, 0)
    try {
      this.#operator.finish(this.#context)
    } catch (error) {
      throw failed(error, this.uid, 'finish')
    }
    this.#outputs.flush(out)
  }

  /** Emits one output batch (and one per side output) made of the records from `from` on; answers the first record that is not in it. */
  #fill(batch: RecordBatch, from: number, out: Collector): number {
    const outputs = this.#outputs
    const { keys, timestamps } = batch
    outputs.begin(batch.origins, keys !== null)
    let i = from
    for (; i < batch.values.length && outputs.length < RESUMABLE_BATCH_RECORDS_MAX; i++) {
      outputs.of(keys === null ? null : keys[i]!, timestamps[i]!, i)
      try {
        const answer: unknown = this.#operator.execute(batch.values[i], this.#context)
        if (isThenable(answer)) throw returnedPromise(this.uid, batch, i)
      } catch (error) {
        outputs.takeBack()
        this.#refuse(batch, i, operatorFailed(error, this.uid, batch, i))
      }
    }
    outputs.flush(out)
    return i
  }

  #pieces(context: SnapshotContext): readonly unknown[] {
    let pieces: unknown
    try {
      pieces = this.#operator.snapshotState(context)
    } catch (error) {
      throw failed(error, this.uid, 'snapshotState')
    }
    if (!Array.isArray(pieces)) throw stateInvalid(this.uid, `snapshotState returned ${typeof pieces}, not an array`)
    return pieces.map((piece: unknown, i) => this.#copy(piece, `piece ${i} of its state`))
  }

  #copy(piece: unknown, what: string): unknown {
    if (piece === undefined) throw stateInvalid(this.uid, `${what} is undefined`)
    try {
      return structuredClone(piece)
    } catch (error) {
      throw stateInvalid(this.uid, `${what} cannot be copied (${(error as Error).message})`)
    }
  }

  #cells(group: number): KeyedState<unknown> {
    return this.#place.state.keyed<unknown>(this.uid, OPERATOR_STATE, group)
  }

  #write(pieces: readonly unknown[]): void {
    const { groups } = this.#place
    const stored = this.#stored
    this.#stored = new Map()
    for (const [i, piece] of pieces.entries()) {
      const group = groups[i % groups.length]!
      const at = Math.floor(i / groups.length)
      const before = stored.get(group)
      if (before === undefined || at >= before.length || !sameValue(before[at], piece))
        this.#cells(group).put(at, piece)
      const now = this.#stored.get(group)
      if (now === undefined) this.#stored.set(group, [piece])
      else now.push(piece)
    }
    for (const [group, before] of stored)
      for (let at = this.#stored.get(group)?.length ?? 0; at < before.length; at++) this.#cells(group).delete(at)
  }

  /** In the order they were written in, at the same parallelism. */
  #read(): unknown[] {
    const { groups } = this.#place
    for (const group of groups) {
      const cells = this.#cells(group)
      const pieces: unknown[] = []
      for (let piece = cells.get(0); piece !== undefined; piece = cells.get(pieces.length)) pieces.push(piece)
      if (pieces.length > 0) this.#stored.set(group, pieces)
    }
    const longest = Math.max(0, ...[...this.#stored.values()].map(({ length }) => length))
    const rows = Array.from({ length: longest }, (_, at) => groups.map((group) => this.#stored.get(group)?.[at]))
    return rows.flat().filter((piece) => piece !== undefined)
  }

  get #hookCells(): KeyedState<HookState> {
    return this.#place.state.keyed<HookState>(this.uid, OPERATOR_HOOKS_STATE, this.#place.groups[0]!)
  }

  #latestIn(group: number): KeyedState<number> {
    return this.#place.state.keyed<number>(this.uid, OPERATOR_HOOKS_STATE, group)
  }

  #writeHooks(states: readonly unknown[]): void {
    const { subtask: of, parallelism } = this.#place
    for (const [i, state] of states.entries()) {
      const before = this.#hookCells.get(i)
      if (state === undefined) {
        if (before !== undefined) this.#hookCells.delete(i)
        continue
      }
      const now = { parallelism, subtask: of, state: this.#copy(state, `the state of hook ${i}`) }
      if (!sameValue(before, now)) this.#hookCells.put(i, now)
    }
  }

  #readHooks(): unknown[] {
    const { subtask: of, parallelism } = this.#place
    return Array.from({ length: this.#operator.hooks?.size ?? 0 }, (_, i) => {
      const stored = this.#hookCells.get(i)
      const own = stored !== undefined && stored.parallelism === parallelism && stored.subtask === of
      return own ? structuredClone(stored.state) : undefined
    })
  }

  async #user(what: string, call: () => void | Promise<void> | undefined): Promise<void> {
    try {
      await call()
    } catch (error) {
      throw failed(error, this.uid, what)
    }
  }
}

/** What the calls see. */
class Context implements ExecuteContext<unknown, SideOutputs> {
  readonly #outputs: Outputs
  readonly #names: OriginNames | undefined
  readonly #degraded: Switch
  readonly sides: OutsOf<SideOutputs>
  watermark: Watermark = WATERMARK_MIN

  constructor(outputs: Outputs, operator: OperatorContext) {
    this.#outputs = outputs
    this.#names = operator.origins
    this.#degraded = switchOf(operator)
    this.sides = outputs.sides
  }

  get timestamp(): number {
    return this.#outputs.timestamp
  }

  get key(): Key | null {
    return this.#outputs.key
  }

  get origin(): Origin | null {
    return this.#outputs.origin(this.#names)
  }

  get degraded(): boolean {
    return this.#degraded()
  }

  readonly emit = (value: unknown, timestamp?: number): void => this.#outputs.main.emit(value, timestamp)
}

function failed(error: unknown, operatorUid: OperatorUid, method: string): WeirError {
  if (error instanceof WeirError) return error
  const { message } = asWeirError(error, 'OPERATOR_FAILED')
  return new WeirError(
    { code: 'OPERATOR_FAILED', kind: 'restart', operatorUid, method },
    `operator "${operatorUid}": ${method} threw ${message}`,
    { cause: error },
  )
}

const stateInvalid = (operatorUid: OperatorUid, why: string): WeirError =>
  new WeirError(
    { code: 'OPERATOR_STATE_INVALID', kind: 'invalid', operatorUid },
    `operator "${operatorUid}": ${why}. Return an array of plain values: objects, arrays, Map, Set, Date, bigint, typed arrays.`,
  )
