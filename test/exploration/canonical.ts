/**
 * The text of a world: two worlds with one text behave alike from here on. Left out is what nothing depends on (times,
 * counters for people); numbers that are only compared with the present value become relative to it, so that a history
 * of crashes which changed nothing leads back to a state already seen:
 *
 *   producer epoch      2 = the present one, 1 = the one before, 0 = older
 *   revision, ETag      is it the present one?
 *   generation          its rank among those that are still named anywhere
 *   offset of a handle  what its control record says
 *   job-managers        in order of their texts: which process leads does not matter
 */
import type { CheckpointId } from '@weir/model'
import type { Manifest, ManifestRef, SubtaskSnapshot } from '@weir/checkpoint'
import type { PreparedHandle, SinkState } from '@weir/dataflow'
import { controlRecord } from './kafka.ts'
import { stagedAttempt } from './task.ts'
import { SINK, SOURCE, manifestOf, type JobManager, type Task, type World } from './world.ts'

export const canonical = (world: World): string => new Text(world).all()

class Text {
  readonly #world: World
  readonly #generations: number[]
  readonly #nonces: (string | undefined)[]
  /** Manifests named so far: their contents follow at the end. */
  readonly #named = new Map<string, ManifestRef>()

  constructor(world: World) {
    this.#world = world
    this.#generations = [...generationsIn(world)].sort((a, b) => a - b)
    const heads = world.late.flatMap((packet) => (packet.to === 'mirror' ? [packet.head] : []))
    this.#nonces = [world.mirror.head?.nonce, ...heads.map((head) => head.nonce)]
  }

  all(): string {
    const w = this.#world
    const { register, mirror } = w
    const parts = [
      `${w.faults}${w.cancelled ? 'c' : ''}${w.ended ?? ''} L${this.#generation(w.leader)}`,
      `E${this.#ref(register.manifest)} M${this.#head(mirror.head)} P${this.#ref(w.published)}`,
      w.managers
        .map((manager) => (manager === null ? '' : this.#manager(manager)))
        .sort()
        .join('\n'),
      ...w.late.map((p) =>
        p.to === 'register'
          ? `lr${this.#generation(p.generation)} ${this.#ref(p.ref)} ${this.#revision(p.expected)}`
          : `lm${this.#head(p.head)} ${this.#tag(p.expected)}`,
      ),
      ...w.tasks.map((attempts, k) => attempts.map((task) => this.#task(k, task)).join('\n')),
      ...w.kafka.map((_, k) => this.#kafka(k)),
    ]
    // Naming one manifest may not name another: contents hold handles only.
    const contents = [...this.#named.values()].map((ref) => `${this.#ref(ref)}=${this.#manifest(manifestOf(w, ref))}`)
    return `${parts.join('\n')}\n${contents.sort().join('\n')}`
  }

  // ---- job-managers -------------------------------------------------------------------------------------------------

  #manager({ generation, job, arbiter, calls, asking, away, watching, recording }: JobManager): string {
    const { coordinator: c } = job
    let text = `J${this.#generation(generation)} ${job.phase} a${job.attempt}`
    for (const s of job.slices.values()) text += ` ${s.status}${s.inputEnded ? '!' : ''}${job.attempt - s.attempt}`
    if (job.ending) text += ` >${job.ending.state}`
    if (job.phase === 'stopping') text += ` ${job.mode} ${job.then}`
    if (job.phase === 'settling') text += ` ${job.from}`
    text += ` | ${c.phase} ${c.attempt} ${this.#ref(c.published)} f${c.final} e${c.lastEpoch} ${c.abortsInARow}`
    text += ` ${c.breaker.phase}${c.breaker.failures}`
    if (c.closing) text += ' closing'
    if (c.away.size > 0) text += ` left ${[...c.away.keys()]}`
    if (job.phase === 'running') {
      const { failover, rejoinedAt } = job
      if (failover) text += ` failover ${failover.subtasks} ${failover.step.at}`
      if (rejoinedAt !== null && (c.published?.epoch ?? 0) <= rejoinedAt) text += ' rejoined'
    }
    if (c.draining) text += ' draining'
    if ('checkpoint' in c) text += ` ${this.#checkpoint(c.checkpoint)}${c.last ? ' last' : ''}`
    if (c.phase === 'collecting') for (const snapshot of c.acks.values()) text += this.#snapshot(snapshot)
    if (c.phase === 'storing') text += this.#manifest(c.manifest)
    if (c.phase === 'publishing') text += this.#ref(c.ref)
    if (c.phase === 'committing') text += ` missing ${[...c.missing]}`
    text += ` | ${arbiter.phase} ${this.#ref(arbiter.published)} ${this.#ref(arbiter.pending)}`
    text += ` ${this.#revision(arbiter.revision)}${this.#tag(arbiter.mirrorTag)}`
    if (arbiter.owned) text += ' owned'
    if (arbiter.degraded) text += watching ? ' degraded, watching' : ' degraded'
    if (away) text += ' away'
    if ('again' in arbiter && arbiter.again) text += ' again'
    if ('reconciling' in arbiter && arbiter.reconciling) text += ' reconciling'
    if ('settled' in arbiter && arbiter.settled) text += ' settled'
    if ('nonce' in arbiter) text += ` n${this.#nonce(arbiter.nonce)}`
    if ('head' in arbiter) text += ` ${this.#head(arbiter.head)}`
    if ('asked' in arbiter && arbiter.asked) text += ' asked'
    if ('ref' in arbiter) text += ` ${this.#ref(arbiter.ref)}`
    if ('to' in arbiter) text += ` ${this.#ref(arbiter.to)}`
    text += ` | ${asking?.type ?? ''}`
    if (asking?.type === 'swap-mirror') text += ` ${this.#head(asking.head)} ${this.#tag(asking.expected)}`
    if (asking?.type === 'swap-register') text += ` ${this.#ref(asking.ref)} ${this.#revision(asking.expected)}`
    for (const call of calls) {
      text += ` ${call.type}`
      if (call.type === 'publish') text += this.#ref(call.ref)
      if (call.type === 'write-manifest') text += this.#manifest(call.manifest)
    }
    return recording ? `${text} ends ${recording.state}` : text
  }

  #generation(generation: number | null): string {
    return generation === null ? '-' : String(this.#generations.indexOf(generation))
  }

  #checkpoint({ epoch, generation, attempt }: CheckpointId): string {
    return `${epoch}.${this.#generation(generation)}.${attempt}`
  }

  #ref(ref: ManifestRef | null): string {
    if (ref === null) return '-'
    this.#named.set(ref.digest, ref)
    return this.#checkpoint(ref)
  }

  #head(head: World['mirror']['head']): string {
    if (head === null) return '-'
    // A publish names its nonce by what it writes: a repeat writes the same one.
    const own = head.nonce === `${head.generation}/${head.manifest?.digest}` ? 'p' : ''
    return `${this.#generation(head.generation)}:${this.#ref(head.manifest)}:${this.#nonce(head.nonce)}${own}`
  }

  #nonce(nonce: string): string {
    const at = this.#nonces.indexOf(nonce)
    return at < 0 ? 'x' : String(at)
  }

  #revision(revision: string): string {
    return revision === String(this.#world.register.revision) ? '=' : '<'
  }

  #tag(tag: string | null): string {
    const present = this.#world.mirror.tag === 0 ? null : `t${this.#world.mirror.tag}`
    return tag === present ? '=' : '<'
  }

  // ---- manifests ----------------------------------------------------------------------------------------------------

  #manifest(manifest: Manifest | null): string {
    if (manifest === null) return '?'
    let text = `${this.#checkpoint(manifest)}<${manifest.parentEpoch}`
    for (const snapshot of manifest.subtasks) text += this.#snapshot(snapshot)
    return text
  }

  #snapshot({ subtask, sources, sinks }: SubtaskSnapshot): string {
    const { sequence, handles } = sinks[SINK] as SinkState
    const { position } = sources[SOURCE] as { position: number }
    return ` {${subtask} ${position} s${sequence}${this.#handles(subtask, handles)}}`
  }

  #handles(k: number, handles: readonly PreparedHandle[]): string {
    let text = ''
    for (const { sequence, transactionalId, producerEpoch, firstOffsets, staged } of handles) {
      const control = controlRecord(this.#world.kafka[k]!, Number(firstOffsets['t-0']))
      const key = staged!.parts[0]!.key
      text += ` ${sequence}#${transactionalId}e${this.#epoch(k, Number(transactionalId), producerEpoch)}${control}`
      text += `@${this.#staged(key)}${this.#world.staged[k]!.has(key) ? '' : '!'}`
    }
    return text
  }

  #staged(key: string): string {
    const [generation, rest] = [stagedAttempt(key)[0], key.slice(key.indexOf('-'))]
    return `${this.#generation(generation)}${rest}`
  }

  // ---- tasks and Kafka ----------------------------------------------------------------------------------------------

  #task(k: number, t: Task): string {
    let text = `T${this.#generation(t.attempt.generation)}.${t.attempt.attempt} ${t.phase}${t.connected ? '' : ' cut'}`
    for (const [id, { epoch, state }] of t.pool.entries()) text += ` ${this.#epoch(k, id, epoch)}${state[0]}`
    if (t.aborting) text += ' aborting'
    if (t.phase === 'failed') return text
    text += ` p${t.position} s${t.sequence} x${t.transactions}${t.swept ? 'w' : ''}`
    if (t.open) text += ` o${t.open.id}:${t.open.chunk}`
    text += this.#handles(k, t.prepared)
    if (t.barrier) text += ` b${this.#checkpoint(t.barrier.checkpoint)}${t.barrier.givenUp ? '!' : ''}`
    if (t.commit) text += ` c${t.commit.epoch}:${t.commit.upTo}${t.commit.begun ? '+' : ''}`
    for (const key of t.ended) text += ` -${this.#staged(key)}`
    if (t.recovery) {
      const { state, effect } = t.recovery
      const { restored, unproven, marker } = state
      text += ` r${state.phase} ${effect.type} ${unproven.map((h) => h.sequence)} m${marker}${t.healing ? ' healing' : ''}`
      text += ` s${restored.sequence}${this.#handles(k, restored.handles)}`
    }
    return text
  }

  #kafka(k: number): string {
    const { ids, log, marker } = this.#world.kafka[k]!
    let text = `K${marker}`
    for (const { state, marking } of ids) text += ` ${state}${marking ?? ''}`
    for (const { chunk, id, status } of log) {
      if (status !== 'abort') text += status === 'commit' ? ` ${chunk}` : ` ${chunk}?${id}`
    }
    return text
  }

  #epoch(k: number, id: number, epoch: number): number {
    return Math.max(0, epoch - this.#world.kafka[k]!.ids[id]!.epoch + 2)
  }
}

/** Generations are compared with each other and never counted. */
function generationsIn(world: World): Set<number> {
  const found = new Set<number>()
  const ref = (named: ManifestRef | null | undefined): void => {
    if (!named) return
    found.add(named.generation)
    manifest(manifestOf(world, named))
  }
  const handles = (list: readonly PreparedHandle[]): void => {
    for (const { staged } of list) found.add(stagedAttempt(staged!.parts[0]!.key)[0])
  }
  const snapshot = ({ sinks }: SubtaskSnapshot): void => handles((sinks[SINK] as SinkState).handles)
  const manifest = (named: Manifest | null): void => {
    if (named === null) return
    found.add(named.generation)
    named.subtasks.forEach(snapshot)
  }
  if (world.leader !== null) found.add(world.leader)
  ref(world.register.manifest)
  ref(world.published)
  if (world.mirror.head) found.add(world.mirror.head.generation)
  ref(world.mirror.head?.manifest)
  for (const manager of world.managers) {
    if (manager === null) continue
    const { coordinator, generation } = manager.job
    found.add(generation)
    ref(coordinator.published)
    if (coordinator.phase === 'collecting') for (const ack of coordinator.acks.values()) snapshot(ack)
    if (coordinator.phase === 'publishing') ref(coordinator.ref)
    if (coordinator.phase === 'storing') manifest(coordinator.manifest)
    const { arbiter } = manager
    ref(arbiter.published)
    if ('head' in arbiter) {
      found.add(arbiter.head.generation)
      ref(arbiter.head.manifest)
    }
    if ('to' in arbiter) ref(arbiter.to)
    for (const call of manager.calls) if (call.type === 'write-manifest') manifest(call.manifest)
  }
  for (const packet of world.late) {
    if (packet.to === 'register') {
      found.add(packet.generation)
      ref(packet.ref)
    } else {
      found.add(packet.head.generation)
      ref(packet.head.manifest)
    }
  }
  for (const attempts of world.tasks) {
    for (const task of attempts) {
      found.add(task.attempt.generation)
      if (task.barrier) found.add(task.barrier.checkpoint.generation)
      handles(task.prepared)
      if (task.recovery) handles(task.recovery.state.restored.handles)
      for (const key of task.ended) found.add(stagedAttempt(key)[0])
    }
  }
  return found
}

/** 53 bits: one collision in four million states has a chance below 10⁻³. */
export function hash(text: string): number {
  let a = 0x811c9dc5
  let b = 0x9e3779b9
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    a = Math.imul(a ^ c, 0x01000193)
    b = Math.imul(b ^ (c + (b >>> 15)), 0x85ebca6b)
  }
  a = Math.imul(a ^ (a >>> 15), 0x2c1b3c6d)
  b = Math.imul(b ^ (b >>> 13), 0xc2b2ae35)
  b ^= b >>> 16
  return (a >>> 0) * 2_097_152 + (b >>> 11)
}

export const fingerprint = (text: string): string => hash(text).toString(36)
