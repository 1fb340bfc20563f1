/**
 * A job-manager as libs/job/src/driver.ts and libs/metadata/src/checkpoint-store.ts drive it: the real job machine and
 * the real arbiter machine; effects in order, one store call at a time, claims repeated, an unanswered publish reported
 * as unknown.
 */
import type { Manifest, ManifestRef, PublishOutcome } from '@weir/checkpoint'
import { jobFor, stepJob, type JobEffect, type JobEvent, type JobState, type SliceId } from '@weir/job'
import {
  checkpointName,
  digest,
  taskManagerId,
  type AttemptId,
  type Generation,
  type Subtask,
  type TaskManagerId,
} from '@weir/model'
import { arbiterFor, stepArbiter, type ArbiterEvent, type RegisterView } from '../../libs/metadata/src/arbiter.ts'
import { fingerprint } from './canonical.ts'
import { ended, finalReached, published, recovered } from './properties.ts'
import * as task from './task.ts'
import { breakWorld, manifestOf, send, type Event, type JobManager, type StoreCall, type World } from './world.ts'
import type { JobSpec } from '@weir/job'

// ---- leadership -----------------------------------------------------------------------------------------------------

/** Wins the election: a new term, with the job begun. */
export function elect(world: World, at: number, spec: JobSpec): void {
  const generation = ++world.generations as Generation
  world.leader = generation
  world.managers[at] = {
    generation,
    job: jobFor(spec, generation),
    arbiter: arbiterFor(generation, world.arbiter),
    calls: [],
    asking: null,
    claims: 0,
    away: false,
    watching: false,
    recording: null,
  }
  send(world, generation, { type: 'begin' })
  if (world.cancelled) send(world, generation, { type: 'cancel' })
}

/** The process forgets the term; what it leads, it leads no more. Nothing is aborted. */
export function leave(world: World, at: number): void {
  const manager = world.managers[at]
  if (manager && world.leader === manager.generation) world.leader = null
  world.managers[at] = null
}

// ---- the driver -----------------------------------------------------------------------------------------------------

/** Ends every action: what was sent arrives, one step after the other. */
export function settle(world: World): void {
  for (let next = world.inbox.shift(); next; next = world.inbox.shift()) step(world, next.to, next.event, next.now)
}

function step(world: World, to: Generation, event: Event, now: number): void {
  const at = world.managers.findIndex((manager) => manager?.generation === to)
  const manager = world.managers[at]
  if (!manager) return
  const before = manager.job
  let next: ReturnType<typeof stepJob>
  try {
    next = stepJob(before, { ...event, now, wallClock: 0, random: 0.5 } as JobEvent)
  } catch (error) {
    return breakWorld(world, `the job machine throws: ${(error as Error).message}`)
  }
  world.managers[at] = { ...manager, job: timeless(next.state) }
  const { coordinator } = next.state
  if (coordinator.final > before.coordinator.final) finalReached(world, coordinator.published, coordinator.final)
  for (const effect of next.effects) perform(world, at, effect)
  // The restart delay is over at once.
  if (isBackingOff(next.state)) send(world, to, { type: 'tick' })
}

const isBackingOff = (job: JobState): boolean =>
  job.phase === 'backing-off' || (job.phase === 'running' && job.failover?.step.at === 'backing-off')

/** Every moment is 0, so that two states that differ only in their history's times are one. */
function timeless(job: JobState): JobState {
  const { coordinator } = job
  if (coordinator.phase === 'idle' && coordinator.sinceMs !== 0)
    return { ...job, coordinator: { ...coordinator, sinceMs: 0 } }
  if (job.phase === 'backing-off' && job.untilMs !== 0) return { ...job, untilMs: 0 }
  return job
}

/** As JobMaster does. */
function perform(world: World, at: number, effect: JobEffect): void {
  const manager = world.managers[at]
  if (!manager) return
  const { job, generation } = manager
  const everyone = (command: (slice: SliceId) => void): void => {
    for (const slice of job.slices.values()) if (slice.status !== 'gone') command(sliceId(job, slice.subtask))
  }
  switch (effect.type) {
    case 'claim':
      return enqueue(world, at, { type: 'claim' })
    case 'write-manifest':
      return enqueue(world, at, { type: 'write-manifest', checkpoint: effect.checkpoint, manifest: effect.manifest })
    case 'publish':
      return enqueue(world, at, { type: 'publish', checkpoint: effect.checkpoint, ref: effect.ref })
    case 'request-slots': {
      const assignment = new Map<Subtask, TaskManagerId>()
      for (let i = 0; i < effect.count; i++) assignment.set(i as Subtask, machineOf(i))
      send(world, generation, { type: 'placed', assignment })
      return
    }
    case 'replace-slots': {
      const assignment = new Map(effect.subtasks.map((subtask) => [subtask, machineOf(subtask)]))
      send(world, generation, { type: 'placed', assignment })
      return
    }
    case 'deploy':
      return task.deploy(world, effect.slice)
    case 'recover':
      return task.recover(world, effect.slice, effect.snapshot)
    case 'run':
      return task.run(world, effect.slice)
    case 'stop':
      return task.stop(world, effect.slice, effect.mode)
    case 'trigger':
      return everyone((slice) => task.trigger(world, slice, effect.checkpoint))
    case 'give-up':
      return everyone((slice) => task.giveUp(world, slice, effect.checkpoint))
    case 'commit':
      for (const [subtask, upTo] of effect.upTo) {
        task.commit(world, sliceId(job, subtask), effect.permit.manifest.epoch, upTo)
      }
      return
    case 'ended':
      world.managers[at] = { ...manager, recording: effect.ending }
      return
    case 'step-down':
      return leave(world, at)
    case 'release-slots':
    case 'published':
    case 'final':
    case 'restarted':
    case 'region-failed':
    case 'region-restarted':
    case 'healed':
      return
  }
}

export const machineOf = (subtask: number): TaskManagerId => taskManagerId(`tm-${subtask}`)

const sliceId = (job: JobState, subtask: Subtask): SliceId => ({
  jobId: job.spec.jobId,
  attempt: attemptOf(job, subtask),
  subtask,
})

/** Of what is told to a subtask. */
export const attemptOf = (job: JobState, subtask: number): AttemptId => ({
  generation: job.generation,
  attempt: job.slices.get(subtask as Subtask)?.attempt ?? job.attempt,
})

// ---- the store ------------------------------------------------------------------------------------------------------

/**
 * `lost`: handled, and no answer comes. `late`: no answer comes, and the request is handled at some later time.
 * `crash`: handled, and the job-manager is dead before it hears so.
 */
export type Fate = 'answered' | 'lost' | 'late' | 'crash'

export const fatesOf = (manager: JobManager): readonly Fate[] => {
  if (manager.away && isForEtcd(manager.asking)) return []
  if (manager.calls[0]?.type === 'write-manifest') return ['answered', 'lost', 'crash']
  switch (manager.asking?.type) {
    case 'swap-register':
    case 'swap-mirror':
      return ['answered', 'lost', 'late', 'crash']
    case undefined:
      return []
    default:
      return ['answered', 'lost']
  }
}

const isForEtcd = (asking: JobManager['asking']): boolean =>
  asking?.type === 'read-register' || asking?.type === 'swap-register'

/**
 * While etcd does not answer, a request to it ends in silence. Where the machine would only begin the same call again, the
 * request waits for etcd instead: the same, without going round in circles.
 */
export function canGoOn({ arbiter, asking, away, calls }: JobManager): boolean {
  if (calls.length === 0) return false
  if (!away || !isForEtcd(asking)) return true
  return stepArbiter(arbiter, { type: 'no-answer', reason: '' }).effects[0]!.type !== 'unknown'
}

/** The timer of a degraded job: it matters once etcd is back, or once somebody else has claimed the job. */
export const canReconcile = (world: World, { watching, away, generation }: JobManager): boolean =>
  watching && (!away || world.mirror.head?.generation !== generation)

export function reconcile(world: World, at: number): void {
  world.managers[at] = { ...world.managers[at]!, watching: false }
  enqueue(world, at, { type: 'reconcile' })
}

export const requestOf = (manager: JobManager): string =>
  manager.asking === null ? 'write-manifest' : `${manager.asking.type} (${manager.calls[0]!.type})`

function enqueue(world: World, at: number, call: StoreCall): void {
  const manager = world.managers[at]!
  world.managers[at] = { ...manager, calls: [...manager.calls, call] }
  if (manager.calls.length === 0) beginCall(world, at)
}

function beginCall(world: World, at: number): void {
  const manager = world.managers[at]!
  const [call] = manager.calls
  switch (call?.type) {
    case 'claim': {
      const claims = manager.claims + 1
      world.managers[at] = { ...manager, claims }
      return answer(world, at, { type: 'claim', nonce: `${manager.generation}#${claims}` })
    }
    case 'publish':
      return answer(world, at, { type: 'publish', ref: call.ref })
    case 'reconcile':
      return answer(world, at, { type: 'reconcile' })
    case 'write-manifest':
    case undefined:
      return
  }
}

function endCall(world: World, at: number, event: Event | 'again' | null): void {
  const manager = world.managers[at]!
  const calls = event === 'again' ? manager.calls : manager.calls.slice(1)
  world.managers[at] = {
    ...manager,
    calls,
    asking: null,
    watching: event === 'again' ? manager.watching : manager.arbiter.degraded,
  }
  if (calls.length > 0) beginCall(world, at)
  if (event !== 'again' && event !== null) send(world, manager.generation, event)
}

/** One request of the call under way. */
export function interact(world: World, at: number, fate: Fate): void {
  const manager = world.managers[at]!
  const { asking, generation } = manager
  const [call] = manager.calls
  if (call?.type === 'write-manifest') return writeManifest(world, at, call, fate)
  if (manager.away && isForEtcd(asking)) return answer(world, at, { type: 'no-answer', reason: 'etcd is away' })
  let event: ArbiterEvent
  switch (asking?.type) {
    case 'read-mirror': {
      const { head, tag } = world.mirror
      event = { type: 'mirror-read', view: { head, tag: tag === 0 ? null : `t${tag}` } }
      break
    }
    case 'swap-mirror':
      if (fate === 'late') world.late.push({ to: 'mirror', head: asking.head, expected: asking.expected })
      else event = { type: 'mirror-swapped', tag: swapMirror(world, asking.head, asking.expected) }
      break
    case 'read-register':
      event = { type: 'register-read', view: registerView(world, generation) }
      break
    case 'swap-register': {
      const { ref, expected } = asking
      if (fate === 'late') world.late.push({ to: 'register', generation, ref, expected })
      else event = { type: 'register-swapped', ...swapRegister(world, generation, ref, expected) }
      break
    }
    default:
      return
  }
  if (fate === 'crash') return leave(world, at)
  answer(world, at, fate === 'answered' ? event! : { type: 'no-answer', reason: fate })
}

function writeManifest(world: World, at: number, call: StoreCall & { type: 'write-manifest' }, fate: Fate): void {
  const { checkpoint, manifest } = call
  const ref = refOf(manifest)
  world.objects = new Map(world.objects).set(ref.key, { digest: ref.digest, manifest })
  if (fate === 'crash') return leave(world, at)
  if (fate === 'answered') return endCall(world, at, { type: 'stored', checkpoint, ref })
  endCall(world, at, { type: 'store-failed', checkpoint, reason: fate })
}

const refOf = (manifest: Manifest): ManifestRef => {
  const { epoch, generation, attempt, parentEpoch } = manifest
  const key = checkpointName(manifest)
  const content = JSON.stringify(manifest)
  return { epoch, generation, attempt, key, digest: digest(`${key}-${fingerprint(content)}`), parentEpoch }
}

/** The arbiter hears `event`; its next request, or its verdict to the job machine. */
function answer(world: World, at: number, event: ArbiterEvent): void {
  const manager = world.managers[at]!
  const next = stepArbiter(manager.arbiter, event)
  const effect = next.effects[0]!
  world.managers[at] = { ...manager, arbiter: next.state, asking: null }
  const call = manager.calls[0]!
  switch (effect.type) {
    case 'read-mirror':
    case 'swap-mirror':
    case 'read-register':
    case 'swap-register':
      world.managers[at] = { ...world.managers[at]!, asking: effect }
      return
    case 'claimed': {
      const ref = effect.published
      const manifest = ref && manifestOf(world, ref)
      if (ref && !manifest) return breakWorld(world, `the manifest of published epoch ${ref.epoch} is not what it was`)
      recovered(world, ref)
      return endCall(world, at, { type: 'claimed', published: ref, manifest })
    }
    case 'published': {
      const { revision, mirrorTag } = next.state
      const outcome = {
        kind: 'published' as const,
        published: { manifest: effect.ref, headRevision: revision, mirrorTag },
      }
      return publishAnswered(world, at, call, outcome)
    }
    case 'reconciled':
      return endCall(world, at, null)
    case 'superseded':
      if (call.type === 'reconcile') return leave(world, at)
      if (call.type === 'claim') return endCall(world, at, { type: 'claim-refused', reason: effect.reason })
      return publishAnswered(world, at, call, { kind: 'superseded', reason: effect.reason })
    case 'unknown':
      if (call.type === 'claim') return endCall(world, at, 'again')
      if (call.type === 'reconcile') return endCall(world, at, null)
      return publishAnswered(world, at, call, { kind: 'unknown', reason: effect.reason })
    case 'refused':
      return breakWorld(world, `the arbiter refuses: ${effect.code}, ${effect.reason}`)
  }
}

function publishAnswered(world: World, at: number, call: StoreCall, outcome: PublishOutcome): void {
  if (call.type !== 'publish') return breakWorld(world, `the arbiter answers ${outcome.kind} to ${call.type}`)
  endCall(world, at, { type: 'publish-answered', checkpoint: call.checkpoint, outcome })
}

/** The job's record in etcd, guarded by the leader key. */
export function recordEnd(world: World, at: number): void {
  const { generation, recording } = world.managers[at]!
  const leading = world.leader === generation
  world.managers[at] = null
  if (!leading) return // fenced: the next leader finds the job as it was
  world.ended = recording!.state
  ended(world, recording!)
}

// ---- the registers --------------------------------------------------------------------------------------------------

const registerView = (world: World, generation: Generation): RegisterView => ({
  leading: world.leader === generation,
  manifest: world.register.manifest,
  revision: String(world.register.revision),
})

/** etcd: leader key ours and revision as expected, else what is there. */
export function swapRegister(
  world: World,
  generation: Generation,
  ref: ManifestRef,
  expected: string,
): { won: boolean; view: RegisterView } {
  const won = world.leader === generation && String(world.register.revision) === expected
  if (won) {
    const before = world.register.manifest
    world.register = { manifest: ref, revision: ++world.revisions }
    if (before && ref.epoch < before.epoch)
      breakWorld(world, `the register goes back from epoch ${before.epoch} to ${ref.epoch}`)
    published(world, ref)
  }
  return { won, view: registerView(world, generation) }
}

/** S3: the new ETag, null when the condition did not hold. */
export function swapMirror(
  world: World,
  head: NonNullable<World['mirror']['head']>,
  expected: string | null,
): string | null {
  const { tag } = world.mirror
  if (expected !== (tag === 0 ? null : `t${tag}`)) return null
  const before = world.mirror.head?.manifest ?? null
  world.mirror = { head, tag: ++world.revisions }
  if (before && (head.manifest?.epoch ?? 0) < before.epoch)
    breakWorld(world, `head.json goes back from epoch ${before.epoch} to ${head.manifest?.epoch ?? 0}`)
  if (head.manifest) published(world, head.manifest)
  return `t${world.mirror.tag}`
}
