/**
 * One attempt of a slice with a bounded source of chunks and one Kafka sink. Recovery is the real machine; writing,
 * preparing and committing follow libs/kafka/src/sink.ts and libs/runtime/src/participation.ts at the grain of one request.
 */
import type { SubtaskSnapshot } from '@weir/checkpoint'
import type { SliceId } from '@weir/job'
import { sameAttempt, sameCheckpoint, type CheckpointId, type ErrorKind, type Epoch } from '@weir/model'
import type { PreparedHandle, SinkState } from '@weir/dataflow'
import { beginSinkRecovery, stepSinkRecovery, type SinkRecoveryEvent } from '../../libs/dataflow/src/sink-recovery.ts'
import { controlRecord, endTxn, initProducerId, mark, produce, type KafkaSubtask } from './kafka.ts'
import { ATTEMPTS_ALIVE_MAX, POOL, SINK, SOURCE, breakWorld, send, type Event, type Task, type World } from './world.ts'

const RECOVERY = { topic: 't', group: 'g', onLost: 'heal' } as const

// ---- commands -------------------------------------------------------------------------------------------------------

export function deploy(world: World, slice: SliceId): void {
  const attempts = world.tasks[slice.subtask]!
  if (attempts.length === ATTEMPTS_ALIVE_MAX) attempts.shift()
  attempts.push({
    attempt: slice.attempt,
    phase: 'deployed',
    connected: true,
    recovery: null,
    healing: false,
    position: 0,
    pool: [],
    open: null,
    prepared: [],
    sequence: 0,
    barrier: null,
    commit: null,
    aborting: false,
    transactions: 0,
    ended: [],
    swept: false,
  })
  report(world, attempts.at(-1)!, { type: 'deployed', slice, exchangeAddress: 'x' })
}

export function recover(world: World, slice: SliceId, snapshot: SubtaskSnapshot | null): void {
  change(world, slice, (task) => {
    const restored = (snapshot?.sinks[SINK] as SinkState | undefined) ?? null
    const { position = 0 } = (snapshot?.sources[SOURCE] as { position: number } | undefined) ?? {}
    const recovery = beginSinkRecovery(RECOVERY, restored)
    return { ...task, phase: 'recovering', recovery, position, sequence: restored?.sequence ?? 0 }
  })
}

export function run(world: World, slice: SliceId): void {
  change(world, slice, (task) => {
    if (task.phase !== 'recovered') return task
    if (task.position === world.chunks) inputEnded(world, slice.subtask, task)
    return { ...task, phase: 'running' }
  })
}

export function stop(world: World, slice: SliceId, mode: 'leave' | 'abort'): void {
  if (mode === 'abort' && change(world, slice, (task) => ({ ...task, aborting: true }))) return
  remove(world, slice)
}

export function trigger(world: World, slice: SliceId, checkpoint: CheckpointId): void {
  change(world, slice, (task) => (alive(task) ? { ...task, barrier: { checkpoint, givenUp: false } } : task))
}

/** A barrier that is under way may still reach the sink, which then prepares all the same; nothing is acknowledged. */
export function giveUp(world: World, slice: SliceId, checkpoint: CheckpointId): void {
  change(world, slice, (task) =>
    task.barrier && sameCheckpoint(task.barrier.checkpoint, checkpoint)
      ? { ...task, barrier: { checkpoint, givenUp: true } }
      : task,
  )
}

export function commit(world: World, slice: SliceId, epoch: Epoch, upTo: Readonly<Record<string, number>>): void {
  const sequence = upTo[SINK]
  if (sequence === undefined) return
  change(world, slice, (task) => (alive(task) ? { ...task, commit: { epoch, upTo: sequence, begun: false } } : task))
}

/** Its job-manager takes the task-manager for lost. */
export function disconnect(world: World, slice: SliceId): void {
  change(world, slice, (task) => ({ ...task, connected: false }))
}

const alive = (task: Task): boolean => task.phase === 'running' && !task.aborting

// ---- what a slice does ----------------------------------------------------------------------------------------------

export interface Move {
  readonly label: string
  readonly fault?: boolean
  readonly apply: (world: World) => void
}

export function* moves({ chunks }: World, subtask: number, task: Task): Generator<Move> {
  const on = (label: string, apply: (world: World) => void): Move => ({ label, apply })
  if (task.aborting) yield on('fences its pool and stops', (w) => abort(w, subtask, task))
  else if (task.phase === 'recovering') {
    yield on(recoveryLabel(task), (w) => recoveryStep(w, subtask, task))
    if (task.healing) {
      const label = 'commits the healing transaction and never hears so'
      yield { label, fault: true, apply: (w) => recoveryStep(w, subtask, task, false) }
    }
  } else if (task.phase === 'running') {
    if (task.open === null && task.position < chunks && task.pool.some((id) => id.state === 'free'))
      yield on(`writes chunk ${task.position + 1}`, (w) => write(w, subtask, task))
    if (task.barrier && (task.open !== null || (task.position === chunks && !task.barrier.givenUp))) {
      const { checkpoint, givenUp } = task.barrier
      yield on(givenUp ? 'prepares at a barrier that was given up' : `prepares for epoch ${checkpoint.epoch}`, (w) =>
        prepare(w, subtask, task),
      )
    }
    if (task.commit) yield on(`commits up to ${task.commit.upTo}`, (w) => commitNext(w, subtask, task))
  }
}

const recoveryLabel = (task: Task): string => {
  const { effect } = task.recovery!
  if (effect.type === 'heal') return task.healing ? 'commits the healing transaction' : 'writes lost output again'
  return `recovery: ${effect.type}${'handle' in effect ? ` ${effect.handle.sequence}` : ''}`
}

/** The effect the recovery machine waits for. `heard` false: it was performed, and the answer is lost. */
function recoveryStep(world: World, subtask: number, task: Task, heard = true): void {
  const { effect, state } = task.recovery!
  const kafka = world.kafka[subtask]!
  const next = (event: SinkRecoveryEvent, change: Partial<Task> = {}): void => {
    let recovery: NonNullable<Task['recovery']>
    try {
      recovery = stepSinkRecovery(state, event)
    } catch (error) {
      return breakWorld(world, `the recovery machine throws: ${(error as Error).message}`)
    }
    const after: Task = { ...task, ...change, recovery }
    if (recovery.effect.type === 'refused') {
      const { code, kind, message } = recovery.effect.error
      return failed(world, subtask, after, code, kind, message)
    }
    if (recovery.effect.type !== 'done') return put(world, subtask, after)
    put(world, subtask, { ...after, pool: poolOf(after, world.kafka[subtask]!), phase: 'recovered', recovery: null })
    const proofs = recovery.effect.proofs.map(({ sequence, by }) => ({ sink: SINK, subtask, sequence, by }))
    report(world, task, { type: 'recovered', slice: sliceOf(subtask, task), proofs })
  }
  switch (effect.type) {
    case 'end': {
      const after = endTxn(kafka, idOf(effect.handle), effect.handle.producerEpoch)
      if (after !== 'refused') world.kafka[subtask] = after
      return next({ type: 'ended', ok: after !== 'refused' })
    }
    case 'read-control':
      return next({ type: 'control', control: controlRecord(kafka, offsetOf(effect.handle)) })
    case 'fence': {
      const fenced = new Set([...Array(POOL).keys(), ...effect.handleIds.map((id) => Number(id))])
      let after: KafkaSubtask = kafka
      for (const id of fenced) after = initProducerId(after, id, null) as KafkaSubtask
      world.kafka[subtask] = after
      const pool = Array.from({ length: POOL }, (_, id) => ({ epoch: after.ids[id]!.epoch, state: 'free' as const }))
      return next({ type: 'fenced' }, { pool })
    }
    case 'read-marker':
      return next({ type: 'marker', marker: kafka.marker })
    case 'heal':
      return task.healing ? endHealing(heard) : beginHealing()
    case 'initialise-marker':
      world.kafka[subtask] = { ...kafka, marker: effect.sequence }
      return next({ type: 'marker-initialised' })
    case 'done':
    case 'refused':
      return
  }

  function beginHealing(): void {
    const { handle } = effect as { handle: PreparedHandle }
    const chunks = handle.staged!.parts.flatMap(({ key }) => world.staged[subtask]!.get(key) ?? [])
    if (chunks.length === 0)
      return breakWorld(world, `sink${subtask} must heal transaction ${handle.sequence}, and its staged output is gone`)
    const pool = poolOf(task, kafka)
    if (!produced(world, subtask, 0, pool[0]!.epoch, chunks)) return refusedBy('Produce')
    put(world, subtask, { ...task, pool, healing: true })
  }

  function endHealing(heard: boolean): void {
    const { handle } = effect as { handle: PreparedHandle }
    const { epoch } = task.pool[0]!
    const marked = mark(kafka, 0, epoch, handle.sequence)
    const after = marked === 'refused' ? marked : endTxn(marked, 0, epoch)
    if (after === 'refused') return refusedBy('EndTxn')
    world.kafka[subtask] = after
    if (!heard) return failed(world, subtask, task, 'KAFKA_UNAVAILABLE', 'restart', 'no answer to EndTxn')
    const pool = task.pool.map((present, id) => (id === 0 ? { ...present, epoch: after.ids[0]!.epoch } : present))
    next({ type: 'healed' }, { healing: false, pool })
  }

  function refusedBy(request: string): void {
    failed(world, subtask, task, 'PRODUCER_FENCED', 'fenced', request)
  }
}

/** Without a fence it goes on with the epochs that EndTxn has answered with; only a mutant does (PROTOCOL A12). */
const poolOf = ({ pool }: Task, { ids }: KafkaSubtask): Task['pool'] =>
  pool.length > 0 ? pool : ids.map(({ epoch }) => ({ epoch, state: 'free' }))

/** The first batch of a new transaction; for the last chunk also the news that the input has ended. */
function write(world: World, subtask: number, task: Task): void {
  const id = task.pool.findIndex((pooled) => pooled.state === 'free')
  const chunk = task.position + 1
  const written = produced(world, subtask, id, task.pool[id]!.epoch, [chunk])
  if (!written) return failed(world, subtask, task, 'PRODUCER_FENCED', 'fenced', 'Produce')
  const next: Task = {
    ...task,
    position: chunk,
    open: { id, offset: written.offset, chunk },
    pool: withState(task.pool, id, 'open'),
  }
  put(world, subtask, next)
  if (chunk === world.chunks) inputEnded(world, subtask, next)
}

function inputEnded(world: World, subtask: number, task: Task): void {
  report(world, task, { type: 'input-ended', slice: sliceOf(subtask, task) })
}

/** The marker joins the transaction and the copy is durable before the ack (PROTOCOL A16). */
function prepare(world: World, subtask: number, task: Task): void {
  const { checkpoint, givenUp } = task.barrier!
  let next: Task = { ...task, barrier: null }
  if (task.open) {
    const { id, offset, chunk } = task.open
    const { epoch } = task.pool[id]!
    const sequence = task.sequence + 1
    const marked = mark(world.kafka[subtask]!, id, epoch, sequence)
    if (marked === 'refused') return failed(world, subtask, task, 'PRODUCER_FENCED', 'fenced', 'TxnOffsetCommit')
    world.kafka[subtask] = marked
    const key = stagedKey(task, task.transactions)
    world.staged[subtask] = new Map(world.staged[subtask]).set(key, [chunk])
    const handle: PreparedHandle = {
      sequence,
      transactionalId: String(id),
      producerId: String(id),
      producerEpoch: epoch,
      firstOffsets: { 't-0': String(offset) },
      records: 1,
      staged: { parts: [{ key, bytes: 1, sha256: '' }] },
    }
    next = {
      ...next,
      open: null,
      sequence,
      prepared: [...task.prepared, handle],
      pool: withState(task.pool, id, 'prepared'),
      transactions: task.transactions + 1,
    }
  }
  put(world, subtask, next)
  if (givenUp) return
  const snapshot = {
    subtask: sliceOf(subtask, task).subtask,
    sources: { [SOURCE]: { position: next.position } },
    segments: [],
    sinks: { [SINK]: { sequence: next.sequence, handles: next.prepared } },
    watermarks: {},
    recordsIn: 0,
  }
  const times = { alignMs: 0, syncMs: 0, asyncMs: 0 }
  report(world, next, { type: 'ack', slice: sliceOf(subtask, task), checkpoint, snapshot, ...times })
}

/** One EndTxn, in sequence order; the last one is followed by the report. */
function commitNext(world: World, subtask: number, task: Task): void {
  const { epoch, upTo, begun } = task.commit!
  if (upTo > task.sequence) return failed(world, subtask, task, 'SEQUENCE_NOT_PREPARED', 'restart', String(upTo))
  let next: Task = begun ? task : commanded(world, subtask, { ...task, commit: { epoch, upTo, begun: true } })
  const [handle] = task.prepared
  if (handle && handle.sequence <= upTo) {
    const id = idOf(handle)
    const after = endTxn(world.kafka[subtask]!, id, handle.producerEpoch)
    if (after === 'refused') return failed(world, subtask, next, 'COMMIT_REFUSED', 'restart', 'EndTxn')
    world.kafka[subtask] = after
    const pool = next.pool.map((p, i) => (i === id ? { epoch: after.ids[id]!.epoch, state: 'free' as const } : p))
    next = { ...next, pool, prepared: task.prepared.slice(1), ended: [...next.ended, handle.staged!.parts[0]!.key] }
  }
  const over = !next.prepared[0] || next.prepared[0].sequence > upTo
  put(world, subtask, over ? { ...next, commit: null } : next)
  if (over) report(world, next, { type: 'committed', slice: sliceOf(subtask, task), epoch })
}

/** dataflow's StagedRetention: what the command before this one has ended is final; so is all of earlier attempts. */
function commanded(world: World, subtask: number, task: Task): Task {
  const staged = new Map(world.staged[subtask])
  for (const key of task.ended) staged.delete(key)
  if (!task.swept) for (const key of staged.keys()) if (isEarlier(key, task)) staged.delete(key)
  world.staged[subtask] = staged
  return { ...task, ended: [], swept: true }
}

/** `close('abort')`: InitProducerId by the own identity, then what this attempt has staged goes. */
function abort(world: World, subtask: number, task: Task): void {
  task.pool.forEach(({ epoch }, id) => {
    const after = initProducerId(world.kafka[subtask]!, id, epoch)
    if (after !== 'refused') world.kafka[subtask] = after
  })
  const staged = new Map(world.staged[subtask])
  for (const key of staged.keys()) if (key.startsWith(stagedPrefix(task))) staged.delete(key)
  world.staged[subtask] = staged
  remove(world, sliceOf(subtask, task))
}

// ---- small things ---------------------------------------------------------------------------------------------------

export const sliceOf = (subtask: number, task: Task): SliceId =>
  ({ jobId: 'j', attempt: task.attempt, subtask }) as unknown as SliceId

const stagedPrefix = (task: Task): string => `${task.attempt.generation}-${task.attempt.attempt}/`
const stagedKey = (task: Task, transaction: number): string => stagedPrefix(task) + transaction
export const stagedAttempt = (key: string): readonly [generation: number, attempt: number] => {
  const [generation, attempt] = key.split('/')[0]!.split('-')
  return [Number(generation), Number(attempt)]
}
const isEarlier = (key: string, task: Task): boolean => {
  const [generation, attempt] = stagedAttempt(key)
  const own = task.attempt
  return generation < own.generation || (generation === own.generation && attempt < own.attempt)
}

const idOf = (handle: PreparedHandle): number => Number(handle.transactionalId)
const offsetOf = (handle: PreparedHandle): number => Number(handle.firstOffsets['t-0'])

const withState = (pool: Task['pool'], id: number, state: Task['pool'][number]['state']): Task['pool'] =>
  pool.map((present, i) => (i === id ? { ...present, state } : present))

function produced(
  world: World,
  subtask: number,
  id: number,
  epoch: number,
  chunks: readonly number[],
): { offset: number } | null {
  const after = produce(world.kafka[subtask]!, id, epoch, chunks)
  if (after === 'refused') return null
  if (after === 'dropped') {
    breakWorld(world, `two attempts of sink${subtask} share a producer epoch: chunk ${chunks} is acked and dropped`)
    return null
  }
  world.kafka[subtask] = after.kafka
  return after
}

function failed(world: World, subtask: number, task: Task, code: string, kind: ErrorKind, message: string): void {
  put(world, subtask, { ...task, phase: 'failed' })
  const failure = { code, kind, message, facts: {} }
  report(world, task, { type: 'slice-failed', slice: sliceOf(subtask, task), failure })
}

/** Also from one that was taken for lost: its task-manager joins again and goes on reporting (PROTOCOL A4). */
function report(world: World, task: Task, event: Event): void {
  send(world, task.attempt.generation, event)
}

function put(world: World, subtask: number, task: Task): void {
  const attempts = world.tasks[subtask]!
  const at = attempts.findIndex((other) => sameAttempt(other.attempt, task.attempt))
  if (at >= 0) attempts[at] = task
}

/** False when there is no such attempt, or it does not hear. */
function change(world: World, slice: SliceId, to: (task: Task) => Task): boolean {
  const task = world.tasks[slice.subtask]!.find((other) => sameAttempt(other.attempt, slice.attempt))
  if (!task?.connected) return false
  put(world, slice.subtask, to(task))
  return true
}

function remove(world: World, slice: SliceId): void {
  const task = world.tasks[slice.subtask]!.find((other) => sameAttempt(other.attempt, slice.attempt))
  world.tasks[slice.subtask] = world.tasks[slice.subtask]!.filter((other) => other !== task)
  // A slice that is not there has stopped: its task-manager says so.
  if (task?.connected ?? true) send(world, slice.attempt.generation, { type: 'stopped', slice })
}
