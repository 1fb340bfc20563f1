/**
 * The two arbiters of a job, as a pure machine: the *register* (etcd: a key whose change compares the leader key and its
 * own revision) and the *mirror* (head.json in S3: a compare-and-swap by ETag). An epoch is published when both have it.
 *
 *   claim     mirror.read → mirror.swap(own generation) → register.read → the lower of the two is raised → claimed
 *   publish   register.swap(compare leader + revision) → mirror.swap(compare ETag) → published
 *
 * While the register does not answer, the machine is *degraded*: the mirror alone decides. That splits no brain, since
 * whoever else wants the job must change the mirror first, and our swaps compare its ETag:
 *
 *   claim again   mirror.read → mirror.swap → register silent → mirror.read: still ours → claimed (only after a whole
 *                 claim in this term)
 *   publish       mirror.swap(compare ETag) → published
 *   reconcile     register.read → raise it to what is published → mirror.read: both hold the same → reconciled
 *                 register silent → mirror.read: does somebody else own the job by now?
 *
 * With the arbiter `s3` the mirror is the only register (PROTOCOL A9): the same machine without its register steps. With
 * `etcd-alone` it is the other way round: an object store that does not honour conditional writes (C2) is no arbiter, and
 * there is no degraded mode.
 *
 * Rules, by the names of the holes they close (PROTOCOL.md):
 *   A6  nothing before the won compare-and-swap on head.json
 *   A3  after "unknown" only the same manifest may be sent again
 *   A5  the register's change compares leader key *and* revision: a late packet of an older publish changes nothing
 *   A7  a refused swap is re-read once: our own nonce in there means that the reply was lost; anything else is a takeover
 *   A8  after the lease's end only what a fresh swap of head.json proves to be ours is touched
 */
import { sameManifest, type Head, type ManifestRef } from '@weir/checkpoint'
import type { Generation } from '@weir/model'

/** What the mirror holds. `tag` null: there is no head.json yet. */
export interface MirrorView {
  readonly head: Head | null
  readonly tag: string | null
}
/** What the register holds; `leading` = the leader key is still ours. `revision` '0': no head yet. */
export interface RegisterView {
  readonly leading: boolean
  readonly manifest: ManifestRef | null
  readonly revision: string
}

/** `etcd`: register first, mirror second, both needed. `s3`: head.json alone. Fixed for the life of a job and a cluster. */
export type ArbiterKind = 'etcd' | 's3' | 'etcd-alone'

export type ArbiterState = {
  readonly kind: ArbiterKind
  readonly generation: Generation
  /** A claim in this term read both: since then nobody but us has changed either (else a swap is refused). */
  readonly owned: boolean
  /** The register did not answer: it may be behind what is published, and the mirror alone decides. */
  readonly degraded: boolean
  /** Known after the claim. */
  readonly published: ManifestRef | null
  readonly revision: string
  readonly mirrorTag: string | null
  /** A publish that was sent and not yet answered by both. */
  readonly pending: ManifestRef | null
} & (
  | { readonly phase: 'unclaimed' | 'claimed' | 'superseded' | 'reading-alone' }
  | { readonly phase: 'reading-mirror'; readonly nonce: string }
  /** `again`: head.json carried our own generation already. */
  | { readonly phase: 'claiming-mirror' | 'confirming-claim'; readonly head: Head; readonly again: boolean }
  | { readonly phase: 'reading-register'; readonly head: Head; readonly again: boolean }
  /** The register was silent: is the mirror still as we claimed it? */
  | { readonly phase: 'verifying-claim'; readonly head: Head }
  /** `reconciling`: not part of a claim. */
  | { readonly phase: 'raising-register'; readonly to: ManifestRef; readonly reconciling: boolean }
  | { readonly phase: 'reconciling' }
  /** `settled`: the register holds what is published; else it was silent. */
  | { readonly phase: 'checking-mirror'; readonly settled: boolean; readonly reason: string }
  /** `asked`: a publish of the caller, not part of a claim. */
  | { readonly phase: 'raising-mirror' | 'confirming-mirror'; readonly head: Head; readonly asked: boolean }
  | { readonly phase: 'swapping-register'; readonly ref: ManifestRef }
)

export type ArbiterEvent =
  | { readonly type: 'claim'; readonly nonce: string }
  | { readonly type: 'publish'; readonly ref: ManifestRef }
  /** While degraded, now and then: is the register back? */
  | { readonly type: 'reconcile' }
  | { readonly type: 'mirror-read'; readonly view: MirrorView }
  | { readonly type: 'mirror-swapped'; readonly tag: string | null }
  | { readonly type: 'register-read'; readonly view: RegisterView }
  /** The answer to a swap: what stands there now, and whether it was us who put it. */
  | { readonly type: 'register-swapped'; readonly won: boolean; readonly view: RegisterView }
  /** No answer: the request may have been applied, or may still be. */
  | { readonly type: 'no-answer'; readonly reason: string }

export type ArbiterEffect =
  | { readonly type: 'read-mirror' }
  | { readonly type: 'swap-mirror'; readonly head: Head; readonly expected: string | null }
  | { readonly type: 'read-register' }
  | { readonly type: 'swap-register'; readonly ref: ManifestRef; readonly expected: string }
  | { readonly type: 'claimed'; readonly published: ManifestRef | null }
  | { readonly type: 'published'; readonly ref: ManifestRef }
  /** Both arbiters hold what is published again. */
  | { readonly type: 'reconciled' }
  | { readonly type: 'superseded'; readonly reason: string; readonly by: Generation | null }
  | { readonly type: 'unknown'; readonly reason: string }
  /** A broken rule or broken metadata: `code` says which. */
  | { readonly type: 'refused'; readonly code: string; readonly reason: string }

export interface ArbiterStep {
  readonly state: ArbiterState
  readonly effects: readonly ArbiterEffect[]
}

export const arbiterFor = (generation: Generation, kind: ArbiterKind = 'etcd'): ArbiterState => ({
  phase: 'unclaimed',
  kind,
  generation,
  owned: false,
  degraded: false,
  published: null,
  revision: '0',
  mirrorTag: null,
  pending: null,
})

type Common = Pick<
  ArbiterState,
  'kind' | 'generation' | 'owned' | 'degraded' | 'published' | 'revision' | 'mirrorTag' | 'pending'
>
const common = (s: Common): Common => ({
  kind: s.kind,
  generation: s.generation,
  owned: s.owned,
  degraded: s.degraded,
  published: s.published,
  revision: s.revision,
  mirrorTag: s.mirrorTag,
  pending: s.pending,
})
const to = (state: ArbiterState, ...effects: ArbiterEffect[]): ArbiterStep => ({ state, effects })

const superseded = (state: ArbiterState, reason: string, by: Generation | null = null): ArbiterStep =>
  to({ ...common(state), phase: 'superseded' }, { type: 'superseded', reason, by })
const refused = (state: ArbiterState, code: string, reason: string): ArbiterStep =>
  to(state, { type: 'refused', code, reason })

export function stepArbiter(state: ArbiterState, event: ArbiterEvent): ArbiterStep {
  switch (event.type) {
    case 'claim':
      // Also after a failed claim or an unknown publish: claiming again is how a leader finds out what is true.
      if (state.phase === 'superseded') return superseded(state, 'superseded before')
      if (state.kind === 'etcd-alone')
        return to({ ...common(state), phase: 'reading-alone' }, { type: 'read-register' })
      return to({ ...common(state), phase: 'reading-mirror', nonce: event.nonce }, { type: 'read-mirror' })
    case 'publish':
      return publish(state, event.ref)
    case 'reconcile':
      if (state.phase === 'superseded') return superseded(state, 'superseded before')
      if (state.phase !== 'claimed') return refused(state, 'CLAIM_REQUIRED', `reconcile in phase ${state.phase}`)
      if (!state.degraded) return to(state, { type: 'reconciled' })
      return to({ ...common(state), phase: 'reconciling' }, { type: 'read-register' })
    case 'mirror-read':
      return mirrorRead(state, event.view)
    case 'mirror-swapped':
      return mirrorSwapped(state, event.tag)
    case 'register-read':
      if (state.phase === 'reading-alone') return claimAlone(state, event.view)
      if (state.phase === 'reading-register') return compare(state, state.head.manifest, event.view)
      return state.phase === 'reconciling' ? reconcile(state, event.view) : misplaced(state, event)
    case 'register-swapped':
      return registerSwapped(state, event.won, event.view)
    case 'no-answer':
      return noAnswer(state, event.reason)
  }
}

// ---- claim ----------------------------------------------------------------------------------------------------------

function mirrorRead(state: ArbiterState, { head, tag }: MirrorView): ArbiterStep {
  switch (state.phase) {
    case 'reading-mirror': {
      if (head !== null && head.generation > state.generation) {
        return superseded(state, `head.json belongs to generation ${head.generation}`, head.generation)
      }
      const own: Head = { generation: state.generation, manifest: head?.manifest ?? null, nonce: state.nonce }
      const again = head?.generation === state.generation
      return to(
        { ...common(state), phase: 'claiming-mirror', head: own, again },
        { type: 'swap-mirror', head: own, expected: tag },
      )
    }
    case 'confirming-claim': {
      if (head?.nonce === state.head.nonce) return claimedMirror(state, tag!)
      if (head !== null && head.generation > state.generation) {
        return superseded(state, `head.json was claimed by generation ${head.generation}`, head.generation)
      }
      // An older leader's last mirror came between: nothing of ours was decided, the claim begins again.
      return to({ ...common(state), phase: 'unclaimed' }, { type: 'unknown', reason: 'head.json changed meanwhile' })
    }
    case 'verifying-claim': {
      if (head?.nonce === state.head.nonce) {
        return claimed({ ...common(state), degraded: true, mirrorTag: tag, phase: 'claimed' }, head.manifest)
      }
      return superseded(state, 'head.json was claimed by somebody else', head?.generation ?? null)
    }
    case 'confirming-mirror': {
      if (head?.nonce === state.head.nonce) return mirrored(state, state.head, tag!, state.asked)
      return superseded(state, 'head.json was changed by somebody else', head?.generation ?? null)
    }
    case 'checking-mirror': {
      if (head?.generation !== state.generation) {
        return superseded(state, 'head.json belongs to somebody else', head?.generation ?? null)
      }
      if (!state.settled) return to({ ...common(state), phase: 'claimed' }, { type: 'unknown', reason: state.reason })
      return to({ ...common(state), degraded: false, phase: 'claimed' }, { type: 'reconciled' })
    }
    default:
      return misplaced(state, { type: 'mirror-read' })
  }
}

function mirrorSwapped(state: ArbiterState, tag: string | null): ArbiterStep {
  switch (state.phase) {
    case 'claiming-mirror':
      if (tag !== null) return claimedMirror(state, tag)
      return to({ ...state, phase: 'confirming-claim' }, { type: 'read-mirror' })
    case 'raising-mirror':
      if (tag !== null) return mirrored(state, state.head, tag, state.asked)
      return to({ ...state, phase: 'confirming-mirror' }, { type: 'read-mirror' })
    default:
      return misplaced(state, { type: 'mirror-swapped' })
  }
}

function claimedMirror(
  state: Extract<ArbiterState, { phase: 'claiming-mirror' | 'confirming-claim' }>,
  tag: string,
): ArbiterStep {
  const { head, again } = state
  const next = { ...common(state), mirrorTag: tag }
  if (state.kind === 's3') return claimed({ ...next, phase: 'claimed' }, head.manifest)
  return to({ ...next, phase: 'reading-register', head, again }, { type: 'read-register' })
}

/** Both are read, the mirror is ours: raise whichever is behind (PROTOCOL A1: the higher epoch is the truth). */
function compare(state: ArbiterState, mirror: ManifestRef | null, view: RegisterView): ArbiterStep {
  if (!view.leading) return superseded(state, 'the leader key in the arbiter is not ours any more')
  const next = { ...common(state), revision: view.revision, degraded: false }
  const [inMirror, inRegister] = [mirror?.epoch ?? 0, view.manifest?.epoch ?? 0]
  if (inMirror === inRegister) {
    if (sameManifest(mirror, view.manifest)) return claimed({ ...next, phase: 'claimed' }, mirror)
    const reason = `epoch ${inMirror} is ${mirror!.digest} in head.json and ${view.manifest!.digest} in the register`
    return refused({ ...next, phase: 'unclaimed' }, 'HEADS_FORKED', reason)
  }
  if (inMirror > inRegister) {
    return to(
      { ...next, phase: 'raising-register', to: mirror!, reconciling: false },
      { type: 'swap-register', ref: mirror!, expected: view.revision },
    )
  }
  return raiseMirror(next, view.manifest!, false)
}

function claimAlone(state: ArbiterState, view: RegisterView): ArbiterStep {
  if (!view.leading) return superseded(state, 'the leader key in the arbiter is not ours any more')
  return claimed({ ...common(state), revision: view.revision, phase: 'claimed' }, view.manifest)
}

function claimed(state: ArbiterState & { phase: 'claimed' }, published: ManifestRef | null): ArbiterStep {
  return to({ ...state, owned: true, published, pending: null }, { type: 'claimed', published })
}

// ---- reconcile ------------------------------------------------------------------------------------------------------

/** The register answers again: what was published without it is put there. */
function reconcile(state: ArbiterState, view: RegisterView): ArbiterStep {
  if (!view.leading) return superseded(state, 'the leader key in the arbiter is not ours any more')
  const { published, pending } = state
  const next = { ...common(state), revision: view.revision }
  if (sameManifest(view.manifest, published)) return checkMirror(next, true)
  // A publish that neither arbiter has acknowledged: it stands in the register, and is still to be sent again.
  if (pending !== null && sameManifest(view.manifest, pending)) return checkMirror(next, true)
  if (published === null || (view.manifest?.epoch ?? 0) >= published.epoch) {
    const reason = `the register holds epoch ${view.manifest?.epoch ?? 0}, which this leader never published`
    return superseded(state, reason, view.manifest?.generation ?? null)
  }
  return to(
    { ...next, phase: 'raising-register', to: published, reconciling: true },
    { type: 'swap-register', ref: published, expected: view.revision },
  )
}

const checkMirror = (state: Common, settled: boolean, reason = ''): ArbiterStep =>
  to({ ...common(state), phase: 'checking-mirror', settled, reason }, { type: 'read-mirror' })

// ---- publish --------------------------------------------------------------------------------------------------------

function publish(state: ArbiterState, ref: ManifestRef): ArbiterStep {
  if (state.phase === 'superseded') return superseded(state, 'superseded before')
  if (state.phase !== 'claimed') return refused(state, 'CLAIM_REQUIRED', `publish in phase ${state.phase}: claim first`)
  if (state.pending !== null && !sameManifest(state.pending, ref)) {
    const reason = `epoch ${state.pending.epoch} (${state.pending.digest}) is unanswered: only it may be sent again`
    return refused(state, 'PUBLISH_NOT_THE_SAME', reason)
  }
  const current = state.published?.epoch ?? 0
  if (ref.parentEpoch !== current || ref.epoch <= current || ref.generation !== state.generation) {
    const reason = `manifest of epoch ${ref.epoch} continues ${ref.parentEpoch}, published is ${current}`
    return refused(state, 'PUBLISH_NOT_A_SUCCESSOR', reason)
  }
  const next = { ...common(state), pending: ref }
  if (state.kind === 's3' || state.degraded) return raiseMirror(next, ref, true)
  return to({ ...next, phase: 'swapping-register', ref }, { type: 'swap-register', ref, expected: state.revision })
}

function registerSwapped(state: ArbiterState, won: boolean, view: RegisterView): ArbiterStep {
  if (state.phase !== 'swapping-register' && state.phase !== 'raising-register') {
    return misplaced(state, { type: 'register-swapped' })
  }
  const ref = state.phase === 'swapping-register' ? state.ref : state.to
  if (!view.leading) return superseded(state, 'the leader key in the arbiter is not ours any more')
  // Refused, and yet it stands there: our own earlier request, whose answer was lost.
  const stands = won || sameManifest(view.manifest, ref)
  const next = { ...common(state), revision: view.revision }
  if (state.phase === 'swapping-register') {
    if (!stands) return superseded(state, 'the register was changed by somebody else')
    return state.kind === 'etcd-alone' ? published({ ...next, phase: 'claimed' }, ref) : raiseMirror(next, ref, true)
  }
  if (stands) return state.reconciling ? checkMirror(next, true) : claimed({ ...next, phase: 'claimed' }, ref)
  if ((view.manifest?.epoch ?? 0) > ref.epoch) return superseded(state, 'the register was changed by somebody else')
  // A late request of our own, sent before the register fell silent: read again (A5).
  return to(
    { ...next, phase: state.reconciling ? 'claimed' : 'unclaimed' },
    { type: 'unknown', reason: 'the register changed meanwhile' },
  )
}

function raiseMirror(state: Common, ref: ManifestRef, asked: boolean): ArbiterStep {
  // The digest is unique to the content, generation and attempt: no other writer can make this nonce.
  const head: Head = { generation: state.generation, manifest: ref, nonce: `${state.generation}/${ref.digest}` }
  return to(
    { ...state, phase: 'raising-mirror', head, asked },
    { type: 'swap-mirror', head, expected: state.mirrorTag },
  )
}

function mirrored(state: ArbiterState, head: Head, tag: string, asked: boolean): ArbiterStep {
  const ref = head.manifest!
  const next = { ...common(state), mirrorTag: tag, phase: 'claimed' as const }
  return asked ? published(next, ref) : claimed(next, ref)
}

const published = (state: ArbiterState & { phase: 'claimed' }, ref: ManifestRef): ArbiterStep =>
  to({ ...state, published: ref, pending: null }, { type: 'published', ref })

// ---- no answer ------------------------------------------------------------------------------------------------------

function noAnswer(state: ArbiterState, reason: string): ArbiterStep {
  switch (state.phase) {
    case 'swapping-register':
      if (state.kind === 'etcd-alone') return to({ ...common(state), phase: 'claimed' }, { type: 'unknown', reason })
      // Applied or not: the same manifest by the mirror, whose ETag proves that nobody else has claimed the job.
      return raiseMirror({ ...common(state), degraded: true }, state.ref, true)
    case 'reading-register':
      // The first claim of a term needs both (A6). Later ones: whatever the register holds, we put it there.
      if (!state.owned || !state.again || state.pending !== null) break
      return to({ ...common(state), phase: 'verifying-claim', head: state.head }, { type: 'read-mirror' })
    case 'reconciling':
      return checkMirror(state, false, reason)
    case 'raising-register':
      if (!state.reconciling) break
      return checkMirror(state, false, reason)
    case 'checking-mirror':
      return to({ ...common(state), phase: 'claimed' }, { type: 'unknown', reason })
    case 'raising-mirror':
    case 'confirming-mirror':
      // The register has it, the mirror perhaps: the same publish again goes through both (the first answers "refused,
      // and it stands there").
      if (state.asked) return to({ ...common(state), phase: 'claimed' }, { type: 'unknown', reason })
  }
  return to({ ...common(state), phase: 'unclaimed' }, { type: 'unknown', reason })
}

const misplaced = (state: ArbiterState, event: { type: string }): ArbiterStep =>
  refused(state, 'INTERNAL', `event ${event.type} in phase ${state.phase}`)
