/**
 * The arbiter machine against a world that loses, delays and applies late: several leaders in turn, each with its own
 * machine. Every hole of PROTOCOL.md that the machine closes is opened once below (a mutation of the world or of the
 * machine) and must be found again by the same property.
 */
import type { Head, ManifestRef } from '@weir/checkpoint'
import { attempt, digest, epoch, generation } from '@weir/model'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  arbiterFor,
  stepArbiter,
  type ArbiterEffect,
  type ArbiterEvent,
  type ArbiterKind,
  type ArbiterState,
  type ArbiterStep,
  type RegisterView,
} from './arbiter.ts'

const ref = (n: number, parent: number, gen: number, body = ''): ManifestRef => ({
  epoch: epoch(n),
  generation: generation(gen),
  attempt: attempt(1),
  key: `m-${n}-${gen}${body}`,
  digest: digest(`d-${n}-${gen}${body}`),
  parentEpoch: epoch(parent),
})

interface Mutation {
  /** A5: the register compares only the leader key. */
  readonly registerIgnoresRevision?: boolean
  /** The register compares only the revision. */
  readonly registerIgnoresLeader?: boolean
  /** A7: the mirror is overwritten. */
  readonly mirrorIgnoresTag?: boolean
  /** A6: a leader goes on with what the register says, without the won swap of head.json. */
  readonly claimWithoutMirror?: boolean
  /** A3: an unanswered publish is forgotten and another manifest is sent. */
  readonly forgetPending?: boolean
  /** A8: a first claim of a term goes on without the register. */
  readonly claimWithoutRegister?: boolean
}

type Reply = ArbiterEvent | 'none'
class World {
  leader = 0
  register: { ref: ManifestRef | null; revision: number } = { ref: null, revision: 0 }
  mirror: { head: Head | null; tag: number } = { head: null, tag: 0 }
  readonly mutation: Mutation
  /** etcd cannot be reached. */
  silent = false

  constructor(mutation: Mutation) {
    this.mutation = mutation
  }

  #view(by: number): RegisterView {
    return { leading: by === this.leader, manifest: this.register.ref, revision: String(this.register.revision) }
  }

  apply(by: number, effect: ArbiterEffect): Reply {
    switch (effect.type) {
      case 'read-mirror':
        return {
          type: 'mirror-read',
          view: { head: this.mirror.head, tag: this.mirror.tag === 0 ? null : String(this.mirror.tag) },
        }
      case 'swap-mirror': {
        const holds = effect.expected === (this.mirror.tag === 0 ? null : String(this.mirror.tag))
        if (!holds && !this.mutation.mirrorIgnoresTag) return { type: 'mirror-swapped', tag: null }
        this.mirror = { head: effect.head, tag: this.mirror.tag + 1 }
        return { type: 'mirror-swapped', tag: String(this.mirror.tag) }
      }
      case 'read-register':
        return { type: 'register-read', view: this.#view(by) }
      case 'swap-register': {
        const leads = by === this.leader || this.mutation.registerIgnoresLeader
        const fresh = effect.expected === String(this.register.revision) || this.mutation.registerIgnoresRevision
        if (leads && fresh) this.register = { ref: effect.ref, revision: this.register.revision + 1 }
        return { type: 'register-swapped', won: Boolean(leads && fresh), view: this.#view(by) }
      }
      default:
        return 'none'
    }
  }
}

type Fate = 'answered' | 'request-lost' | 'reply-lost' | 'late'
type Move =
  | { readonly type: 'elect' }
  /** The given leader (possibly a dethroned one) claims, publishes, or has its pending request handled. */
  | {
      readonly type: 'act'
      readonly who: number
      readonly fate: Fate
      readonly claim: boolean
      readonly reconcile: boolean
    }
  | { readonly type: 'deliver-late' }
  /** etcd goes away, or comes back. */
  | { readonly type: 'outage'; readonly begins: boolean }

/** Runs a schedule; throws when two histories appear. */
function run(
  moves: readonly Move[],
  mutation: Mutation,
  kind: ArbiterKind = 'etcd',
): { published: number; alone: number; reconciled: number } {
  const world = new World(mutation)
  const machines: { state: ArbiterState; pending: ArbiterEffect | null; serial: number }[] = []
  const late: { by: number; effect: ArbiterEffect }[] = []
  /** Epoch → digest of what was acknowledged as published, or found published by a claim. */
  const permits = new Map<number, string>()
  let highest = 0
  let [published, alone, reconciled] = [0, 0, 0]

  const permit = (found: ManifestRef, acknowledged: boolean): void => {
    const other = permits.get(found.epoch)
    if (other !== undefined && other !== found.digest) throw new Error(`fork at epoch ${found.epoch}`)
    if (acknowledged && found.parentEpoch !== highest) {
      if (!(found.epoch === highest && other === found.digest)) throw new Error(`epoch ${found.epoch} skips ${highest}`)
    }
    permits.set(found.epoch, found.digest)
    highest = Math.max(highest, found.epoch)
  }
  const take = (who: number, event: ArbiterEvent): void => {
    const machine = machines[who]!
    const { state, effects } = stepArbiter(machine.state, event)
    machine.state = state
    machine.pending = null
    for (const effect of effects) {
      if (effect.type === 'claimed') {
        if ((effect.published?.epoch ?? 0) < highest) throw new Error('a claim went back behind a published epoch')
        if (effect.published !== null) permit(effect.published, false)
      } else if (effect.type === 'published') {
        published++
        if (world.register.ref?.digest !== effect.ref.digest) {
          if (!state.degraded && kind === 'etcd') throw new Error('published by the mirror alone, and not degraded')
          alone++
        }
        permit(effect.ref, true)
      } else if (effect.type === 'reconciled') {
        if (state.pending === null && world.register.ref?.epoch !== state.published?.epoch && who === world.leader)
          throw new Error('reconciled, and the register is behind')
        reconciled++
      } else if (effect.type === 'refused' && effect.code !== 'CLAIM_REQUIRED') {
        throw new Error(`${effect.code}: ${effect.reason}`)
      } else if (effect.type.startsWith('read-') || effect.type.startsWith('swap-')) machine.pending = effect
    }
    if (mutation.forgetPending && effects[0]?.type === 'unknown') machine.state = { ...state, pending: null }
  }

  for (const move of moves) {
    if (move.type === 'elect') {
      if (world.silent) continue // nobody can win an election
      const state = {
        ...arbiterFor(generation(machines.length + 1), kind),
        owned: mutation.claimWithoutRegister === true,
      }
      machines.push({ state, pending: null, serial: 0 })
      world.leader = machines.length - 1
      continue
    }
    if (move.type === 'deliver-late') {
      const packet = late.shift()
      if (packet) world.apply(packet.by, packet.effect)
      continue
    }
    if (move.type === 'outage') {
      world.silent = move.begins
      continue
    }
    if (machines.length === 0) continue
    const who = Math.max(0, machines.length - 1 - move.who)
    const machine = machines[who]!
    if (machine.pending === null) {
      const { state } = machine
      if (state.phase === 'superseded') continue
      if (state.phase === 'claimed' && state.degraded && move.reconcile) take(who, { type: 'reconcile' })
      else if (state.phase === 'claimed' && !move.claim) {
        const base = state.published?.epoch ?? 0
        const next = state.pending ?? ref(base + 1, base, state.generation, `-${machine.serial++}`)
        take(who, { type: 'publish', ref: next })
      } else if (mutation.claimWithoutMirror) {
        const view = world.apply(who, { type: 'read-register' })
        if (view !== 'none' && view.type === 'register-read' && view.view.leading) {
          machine.state = {
            ...arbiterFor(state.generation),
            phase: 'claimed',
            published: view.view.manifest,
            revision: view.view.revision,
            mirrorTag: world.mirror.tag === 0 ? null : String(world.mirror.tag),
          }
          if ((view.view.manifest?.epoch ?? 0) < highest) throw new Error('a claim went back')
        }
      } else take(who, { type: 'claim', nonce: `n-${who}-${machine.serial++}` })
      continue
    }
    const effect = machine.pending
    const away = world.silent && effect.type.endsWith('-register')
    switch (away && move.fate !== 'late' ? 'request-lost' : move.fate) {
      case 'answered': {
        const reply = world.apply(who, effect)
        if (reply !== 'none') take(who, reply)
        break
      }
      case 'reply-lost':
        world.apply(who, effect)
        take(who, { type: 'no-answer', reason: 'timeout' })
        break
      case 'late':
        late.push({ by: who, effect })
        take(who, { type: 'no-answer', reason: 'timeout' })
        break
      case 'request-lost':
        take(who, { type: 'no-answer', reason: 'timeout' })
    }
  }
  return { published, alone, reconciled }
}

const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 1, arbitrary: fc.constant<Move>({ type: 'elect' }) },
  { weight: 2, arbitrary: fc.constant<Move>({ type: 'deliver-late' }) },
  { weight: 1, arbitrary: fc.boolean().map((begins): Move => ({ type: 'outage', begins })) },
  {
    weight: 14,
    arbitrary: fc.record({
      type: fc.constant('act' as const),
      who: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(2) }),
      fate: fc.oneof(
        { weight: 5, arbitrary: fc.constant<Fate>('answered') },
        { weight: 1, arbitrary: fc.constantFrom<Fate>('request-lost', 'reply-lost', 'late') },
      ),
      claim: fc.oneof({ weight: 6, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
      reconcile: fc.boolean(),
    }),
  },
)
const schedule = fc.array(move, { minLength: 20, maxLength: 90 }).map((moves) => [{ type: 'elect' } as Move, ...moves])

describe('one history, whatever is lost or late', () => {
  test('no fork, no regression', () => {
    let [published, alone, reconciled] = [0, 0, 0]
    fc.assert(
      fc.property(schedule, (moves) => {
        const done = run(moves, {})
        published += done.published
        alone += done.alone
        reconciled += done.reconciled
      }),
      { numRuns: 3_000, seed: 7 },
    )
    // The schedules do get somewhere.
    expect(published).toBeGreaterThan(3_000)
    expect(alone).toBeGreaterThan(300)
    expect(reconciled).toBeGreaterThan(300)
  })

  test('no fork, no regression with head.json as the only register (A9)', () => {
    let published = 0
    fc.assert(
      fc.property(schedule, (moves) => void (published += run(moves, {}, 's3').published)),
      { numRuns: 3_000, seed: 7 },
    )
    expect(published).toBeGreaterThan(3_000)
  })

  test('no fork, no regression with etcd as the only register (C2)', () => {
    let published = 0
    fc.assert(
      fc.property(schedule, (moves) => void (published += run(moves, {}, 'etcd-alone').published)),
      { numRuns: 3_000, seed: 7 },
    )
    expect(published).toBeGreaterThan(3_000)
  })

  const mutations: [string, Mutation][] = [
    ['A3 an unknown publish is taken for a failure', { forgetPending: true, registerIgnoresRevision: true }],
    ['A5 the register is guarded by the leader key alone', { registerIgnoresRevision: true }],
    ['A6 going on without the claim of head.json', { claimWithoutMirror: true, registerIgnoresLeader: true }],
    ['A8 a first claim goes on while etcd is silent', { claimWithoutRegister: true }],
    ['A7 head.json is overwritten', { mirrorIgnoresTag: true, registerIgnoresLeader: true }],
    ['the register is guarded by the revision alone', { registerIgnoresLeader: true, mirrorIgnoresTag: true }],
  ]
  test.each(mutations)('with the rule removed the hole is found again: %s', (_name, mutation) => {
    const result = fc.check(
      fc.property(schedule, (moves) => void run(moves, mutation)),
      { numRuns: 20_000, seed: 7 },
    )
    expect(result.failed).toBe(true)
  })
})

describe('claim and publish, step by step', () => {
  const drive = (state: ArbiterState, ...events: ArbiterEvent[]): ArbiterStep =>
    events.reduce<ArbiterStep>((at, event) => stepArbiter(at.state, event), { state, effects: [] })
  const view = (manifest: ManifestRef | null, revision = '0', leading = true): RegisterView => ({
    leading,
    manifest,
    revision,
  })
  const claimed = (at: ManifestRef | null = null): ArbiterState =>
    drive(
      arbiterFor(generation(5)),
      { type: 'claim', nonce: 'n' },
      {
        type: 'mirror-read',
        view: { head: at && { generation: generation(4), manifest: at, nonce: 'o' }, tag: at && 't0' },
      },
      { type: 'mirror-swapped', tag: 't1' },
      { type: 'register-read', view: view(at, at ? '7' : '0') },
    ).state

  test('a head of a higher generation supersedes', () => {
    const head: Head = { generation: generation(6), manifest: null, nonce: 'x' }
    const { effects } = drive(
      arbiterFor(generation(5)),
      { type: 'claim', nonce: 'n' },
      { type: 'mirror-read', view: { head, tag: 't' } },
    )
    expect(effects).toEqual([{ type: 'superseded', reason: 'head.json belongs to generation 6', by: 6 }])
  })

  test('a publish before the claim is refused (A6)', () => {
    const { effects } = drive(arbiterFor(generation(5)), { type: 'publish', ref: ref(1, 0, 5) })
    expect(effects).toMatchObject([{ type: 'refused', code: 'CLAIM_REQUIRED' }])
  })

  test('after an unanswered publish only the same manifest goes out again (A3)', () => {
    const first = ref(1, 0, 5)
    const silent: ArbiterEvent = { type: 'no-answer', reason: 'timeout' }
    const { state, effects } = drive(claimed(), { type: 'publish', ref: first }, silent, silent)
    expect(effects).toEqual([{ type: 'unknown', reason: 'timeout' }])
    expect(drive(state, { type: 'publish', ref: ref(2, 0, 5) }).effects).toMatchObject([
      { type: 'refused', code: 'PUBLISH_NOT_THE_SAME' },
    ])
    // The register was silent: the mirror decides.
    expect(drive(state, { type: 'publish', ref: first }).effects).toMatchObject([
      { type: 'swap-mirror', expected: 't1', head: { manifest: first } },
    ])
  })

  test('refused, and our manifest stands there: the answer to the first request was lost', () => {
    const first = ref(1, 0, 5)
    const { effects } = drive(
      claimed(),
      { type: 'publish', ref: first },
      { type: 'register-swapped', won: true, view: view(first, '9') },
      { type: 'no-answer', reason: 'the mirror is away' },
      { type: 'publish', ref: first },
      { type: 'register-swapped', won: false, view: view(first, '9') },
    )
    expect(effects).toMatchObject([{ type: 'swap-mirror', expected: 't1', head: { manifest: first } }])
  })

  test('a refused mirror that carries our own nonce is ours (A7), any other a takeover', () => {
    const first = ref(1, 0, 5)
    const at = drive(
      claimed(),
      { type: 'publish', ref: first },
      { type: 'register-swapped', won: true, view: view(first, '9') },
      { type: 'mirror-swapped', tag: null },
    )
    const head = (nonce: string): Head => ({ generation: generation(5), manifest: first, nonce })
    const ours = head(`5/${first.digest}`)
    expect(drive(at.state, { type: 'mirror-read', view: { head: ours, tag: 't2' } }).effects).toEqual([
      { type: 'published', ref: first },
    ])
    expect(drive(at.state, { type: 'mirror-read', view: { head: head('other'), tag: 't2' } }).effects).toMatchObject([
      { type: 'superseded' },
    ])
  })

  const silent: ArbiterEvent = { type: 'no-answer', reason: 'etcd is away' }
  const [first, second] = [ref(1, 0, 5), ref(2, 1, 5)]
  const degraded = (): ArbiterState =>
    drive(claimed(), { type: 'publish', ref: first }, silent, { type: 'mirror-swapped', tag: 't2' }).state

  test('etcd silent: published by head.json alone, and the next one without asking etcd', () => {
    const state = degraded()
    expect(state).toMatchObject({ phase: 'claimed', degraded: true, published: first, pending: null })
    expect(drive(state, { type: 'publish', ref: second }).effects).toMatchObject([
      { type: 'swap-mirror', expected: 't2', head: { manifest: second } },
    ])
  })

  test('etcd back: raised to what is published, both verified, then reconciled', () => {
    const head: Head = { generation: generation(5), manifest: first, nonce: `5/${first.digest}` }
    const raise = drive(degraded(), { type: 'reconcile' }, { type: 'register-read', view: view(null) })
    expect(raise.effects).toEqual([{ type: 'swap-register', ref: first, expected: '0' }])
    const verify = drive(raise.state, { type: 'register-swapped', won: true, view: view(first, '3') })
    expect(verify.effects).toEqual([{ type: 'read-mirror' }])
    const end = drive(verify.state, { type: 'mirror-read', view: { head, tag: 't2' } })
    expect(end.effects).toEqual([{ type: 'reconciled' }])
    expect(end.state.degraded).toBe(false)
    expect(drive(end.state, { type: 'publish', ref: second }).effects).toEqual([
      { type: 'swap-register', ref: second, expected: '3' },
    ])
  })

  test('A5: a late publish of our own that reached etcd during the outage does not stop the reconciliation', () => {
    const behind = drive(degraded(), { type: 'publish', ref: second }, { type: 'mirror-swapped', tag: 't3' }).state
    const late = drive(
      behind,
      { type: 'reconcile' },
      { type: 'register-read', view: view(null) },
      // Between the read and the swap the request of epoch 1 arrived.
      { type: 'register-swapped', won: false, view: view(first, '4') },
    )
    expect(late.effects).toMatchObject([{ type: 'unknown' }])
    expect(drive(late.state, { type: 'reconcile' }, { type: 'register-read', view: view(first, '4') }).effects).toEqual(
      [{ type: 'swap-register', ref: second, expected: '4' }],
    )
  })

  test('A8: etcd silent while another generation has claimed head.json: noticed without a publish', () => {
    const head: Head = { generation: generation(6), manifest: first, nonce: 'x' }
    const { effects } = drive(degraded(), { type: 'reconcile' }, silent, {
      type: 'mirror-read',
      view: { head, tag: 't9' },
    })
    expect(effects).toMatchObject([{ type: 'superseded', by: 6 }])
  })

  test('A6: the first claim of a term needs etcd; later ones are proven by the swap of head.json', () => {
    const own = (nonce: string): Head => ({ generation: generation(5), manifest: first, nonce })
    const claim = (state: ArbiterState, before: Head | null): ArbiterStep =>
      drive(
        state,
        { type: 'claim', nonce: 'again' },
        { type: 'mirror-read', view: { head: before, tag: 't2' } },
        { type: 'mirror-swapped', tag: 't3' },
        silent,
      )
    expect(claim(arbiterFor(generation(5)), own('o')).effects).toMatchObject([{ type: 'unknown' }])
    const again = claim(degraded(), own('o'))
    expect(again.effects).toEqual([{ type: 'read-mirror' }])
    const still = drive(again.state, { type: 'mirror-read', view: { head: own('again'), tag: 't3' } })
    expect(still.effects).toEqual([{ type: 'claimed', published: first }])
    expect(still.state.degraded).toBe(true)
    // A seed of the property: another leader came between our swap and etcd's silence.
    const taken: Head = { generation: generation(6), manifest: second, nonce: 'x' }
    expect(drive(again.state, { type: 'mirror-read', view: { head: taken, tag: 't4' } }).effects).toMatchObject([
      { type: 'superseded', by: 6 },
    ])
  })

  test('A9: with head.json as the only register etcd is never asked', () => {
    const { state, effects } = drive(
      arbiterFor(generation(5), 's3'),
      { type: 'claim', nonce: 'n' },
      { type: 'mirror-read', view: { head: null, tag: null } },
      { type: 'mirror-swapped', tag: 't1' },
    )
    expect(effects).toEqual([{ type: 'claimed', published: null }])
    const sent = drive(state, { type: 'publish', ref: first })
    expect(sent.effects).toMatchObject([{ type: 'swap-mirror', expected: 't1' }])
    const done = drive(sent.state, { type: 'mirror-swapped', tag: 't2' })
    expect(done.effects).toEqual([{ type: 'published', ref: first }])
    expect(done.state.degraded).toBe(false)
  })

  test('C2: where the object store is no arbiter it is never asked, and a silent etcd leaves the publish unknown', () => {
    const { state, effects } = drive(
      arbiterFor(generation(5), 'etcd-alone'),
      { type: 'claim', nonce: 'n' },
      { type: 'register-read', view: view(null) },
    )
    expect(effects).toEqual([{ type: 'claimed', published: null }])
    const lost = drive(state, { type: 'publish', ref: first }, silent)
    expect(lost.effects).toEqual([{ type: 'unknown', reason: 'etcd is away' }])
    const again = drive(
      lost.state,
      { type: 'publish', ref: first },
      { type: 'register-swapped', won: false, view: view(first, '3') },
    )
    expect(again.effects).toEqual([{ type: 'published', ref: first }])
  })

  test('the arbiter that is behind is raised, whichever it is (A1)', () => {
    const [one, two] = [ref(1, 0, 3), ref(2, 1, 4)]
    const claim = (inMirror: ManifestRef | null, inRegister: ManifestRef | null): readonly ArbiterEffect[] =>
      drive(
        arbiterFor(generation(5)),
        { type: 'claim', nonce: 'n' },
        {
          type: 'mirror-read',
          view: { head: { generation: generation(4), manifest: inMirror, nonce: 'o' }, tag: 't0' },
        },
        { type: 'mirror-swapped', tag: 't1' },
        { type: 'register-read', view: view(inRegister, '7') },
      ).effects
    expect(claim(two, one)).toEqual([{ type: 'swap-register', ref: two, expected: '7' }])
    expect(claim(one, two)).toMatchObject([{ type: 'swap-mirror', head: { manifest: two }, expected: 't1' }])
    expect(claim(two, ref(2, 1, 3))).toMatchObject([{ type: 'refused', code: 'HEADS_FORKED' }])
  })
})
