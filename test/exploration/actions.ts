/**
 * Everything that can happen next. A fault uses up one of the bound's faults; a delay is free: whoever is not chosen
 * waits.
 */
import type { JobSpec } from '@weir/job'
import { sameAttempt } from '@weir/model'
import {
  attemptOf,
  canGoOn,
  canReconcile,
  elect,
  fatesOf,
  interact,
  leave,
  machineOf,
  reconcile,
  recordEnd,
  requestOf,
  settle,
  swapMirror,
  swapRegister,
} from './job-manager.ts'
import { expire, isOpen } from './kafka.ts'
import { disconnect, moves, sliceOf } from './task.ts'
import { ALIGN_TIMEOUT_MS, send, type JobManager, type Task, type World } from './world.ts'

export interface Action {
  readonly label: string
  readonly fault: boolean
  /** Changes the world it is given. */
  readonly apply: (world: World) => void
}

export function* actions(world: World, spec: JobSpec): Generator<Action> {
  const faulty = world.faults > 0 && world.ended === null
  if (world.leader === null && world.ended === null) {
    const at = world.managers.indexOf(null)
    if (at >= 0) yield free(`jm${at} wins the election`, (w) => elect(w, at, spec))
  }
  for (const [at, manager] of world.managers.entries()) {
    if (manager === null) continue
    yield* jobManager(world, at, manager)
    if (faulty) yield* jobManagerFaults(world, at, manager)
  }
  for (const [at, packet] of world.late.entries()) {
    yield free(`the late packet to the ${packet.to} arrives`, (w) => {
      w.late.splice(at, 1)
      if (packet.to === 'register') swapRegister(w, packet.generation, packet.ref, packet.expected)
      else swapMirror(w, packet.head, packet.expected)
    })
  }
  for (const [k, attempts] of world.tasks.entries()) {
    for (const task of attempts) {
      const name = `sink${k}[${task.attempt.generation}.${task.attempt.attempt}]`
      for (const { label, fault = false, apply } of moves(world, k, task)) {
        if (!fault) yield free(`${name} ${label}`, apply)
        else if (faulty) yield { label: `FAULT ${name} ${label}`, fault, apply }
      }
    }
    const kafka = world.kafka[k]!
    for (const id of kafka.ids.keys()) {
      if (!isOpen(kafka, id)) continue
      const end = (w: World): void => void (w.kafka[k] = expire(w.kafka[k]!, id))
      if (faulty) yield fault(`the transaction of sink${k}.id${id} expires`, end)
      // Nobody lengthens its life any more: in the end the broker's time-out comes, or the reaper before it.
      if (world.ended !== null) yield free(`the reaper fences sink${k}.id${id}`, end)
    }
    if (faulty && kafka.logStart < kafka.log.length)
      yield fault(`retention deletes the log of sink${k}`, (w) => {
        w.kafka[k] = { ...w.kafka[k]!, logStart: w.kafka[k]!.log.length }
      })
  }
  if (faulty && !world.cancelled) {
    yield fault('the user cancels the job', (w) => {
      w.cancelled = true
      for (const manager of w.managers) if (manager) send(w, manager.generation, { type: 'cancel' })
    })
  }
}

function* jobManager(world: World, at: number, manager: JobManager): Generator<Action> {
  const { job, generation } = manager
  if (canGoOn(manager)) yield free(`jm${at}: ${requestOf(manager)}`, (w) => interact(w, at, 'answered'))
  if (manager.calls.length === 0 && canReconcile(world, manager))
    yield free(`jm${at}: asks whether etcd is back`, (w) => reconcile(w, at))
  if (manager.away) {
    yield free(`etcd is back for jm${at}`, (w) => setAway(w, at, false))
    if (world.leader === generation) yield free(`the lease of jm${at} expires`, (w) => void (w.leader = null))
  }
  if (manager.recording && !manager.away) yield free(`jm${at}: records the end`, (w) => recordEnd(w, at))
  const { coordinator } = job
  if (job.phase === 'running' && coordinator.phase === 'idle' && !coordinator.closing && coordinator.away.size === 0)
    yield free(`jm${at}: triggers the next epoch`, (w) => send(w, generation, { type: 'tick' }))
}

function* jobManagerFaults(world: World, at: number, manager: JobManager): Generator<Action> {
  const { job, generation } = manager
  yield fault(`jm${at} crashes`, (w) => leave(w, at))
  if (world.leader === generation) yield fault(`jm${at} is frozen past its lease`, (w) => void (w.leader = null))
  if (!manager.away) yield fault(`etcd becomes unreachable for jm${at}`, (w) => setAway(w, at, true))
  for (const fate of fatesOf(manager)) {
    if (fate === 'answered') continue
    yield fault(`jm${at}: ${requestOf(manager)}, ${fate}`, (w) => interact(w, at, fate))
  }
  if (job.phase === 'running' && job.coordinator.phase === 'collecting')
    yield fault(`jm${at}: the epoch times out`, (w) => send(w, generation, { type: 'tick' }, ALIGN_TIMEOUT_MS))
  if (!['deploying', 'recovering', 'running', 'settling', 'stopping'].includes(job.phase)) return
  for (const slice of job.slices.values()) {
    if (slice.status === 'gone') continue
    const { subtask } = slice
    yield fault(`jm${at} takes the task-manager of sink${subtask} for lost`, (w) => {
      const task = w.tasks[subtask]!.find((t) => isOf(t, subtask, manager))
      if (task) disconnect(w, sliceOf(subtask, task))
      send(w, generation, { type: 'task-manager-lost', taskManagerId: machineOf(subtask), reason: 'silent' })
    })
  }
}

const setAway = (world: World, at: number, away: boolean): void => {
  world.managers[at] = { ...world.managers[at]!, away }
}

const free = (label: string, apply: (world: World) => void): Action => ({ label, fault: false, apply })
const fault = (label: string, apply: (world: World) => void): Action => ({
  label: `FAULT ${label}`,
  fault: true,
  apply,
})

const isOf = (task: Task, subtask: number, { job }: JobManager): boolean =>
  sameAttempt(task.attempt, attemptOf(job, subtask))

/** After every action: messages arrive, and attempts that can do nothing any more are forgotten. */
export function conclude(world: World): void {
  settle(world)
  for (const [k, attempts] of world.tasks.entries()) {
    if (attempts.some((task) => isInert(world, k, task)))
      world.tasks[k] = attempts.filter((task) => !isInert(world, k, task))
  }
}

/** Nobody tells it anything any more, and Kafka refuses all it could do by itself. */
function isInert(world: World, subtask: number, task: Task): boolean {
  const led = task.connected && world.managers.some((manager) => manager && isOf(task, subtask, manager))
  if (led || task.aborting) return false
  if (task.phase === 'recovering') return false
  if (task.phase !== 'running') return true
  if (task.commit) return false
  const fenced = task.pool.every(({ epoch }, id) => world.kafka[subtask]!.ids[id]!.epoch !== epoch)
  // With everything read and no barrier to prepare at, it only holds what is open.
  return fenced || (task.position === world.chunks && task.barrier === null)
}
