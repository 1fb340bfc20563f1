/**
 * The two arbiters of a job, as a pure machine: the *register* (etcd: a key whose change compares the leader key and its
 * own revision) and the *mirror* (head.json in S3: a compare-and-swap by ETag). An epoch is published when both have it.
 *
 *   claim     mirror.read → mirror.swap(own generation) → register.read → the lower of the two is raised → claimed
 *   publish   register.swap(compare leader + revision) → mirror.swap(compare ETag) → published
 *
 * Rules, by the names of the holes they close (PROTOCOL.md):
 *   A6  nothing before the won compare-and-swap on head.json
 *   A3  after "unknown" only the same manifest may be sent again
 *   A5  the register's change compares leader key *and* revision: a late packet of an older publish changes nothing
 *   A7  a refused swap is re-read once: our own nonce in there means that the reply was lost; anything else is a takeover
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

export type ArbiterState = {
  readonly generation: Generation
  /** Known after the claim. */
  readonly published: ManifestRef | null
  readonly revision: string
  readonly mirrorTag: string | null
  /** A publish that was sent and not yet answered by both. */
  readonly pending: ManifestRef | null
} & (
  | { readonly phase: 'unclaimed' | 'claimed' | 'superseded' }
  | { readonly phase: 'reading-mirror'; readonly nonce: string }
  | { readonly phase: 'claiming-mirror' | 'confirming-claim'; readonly head: Head }
  | { readonly phase: 'reading-register'; readonly mirrored: ManifestRef | null }
  | { readonly phase: 'raising-register'; readonly to: ManifestRef }
  /** `asked`: a publish of the caller, not part of a claim. */
  | { readonly phase: 'raising-mirror' | 'confirming-mirror'; readonly head: Head; readonly asked: boolean }
  | { readonly phase: 'swapping-register'; readonly ref: ManifestRef }
)

export type ArbiterEvent =
  | { readonly type: 'claim'; readonly nonce: string }
  | { readonly type: 'publish'; readonly ref: ManifestRef }
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
  | { readonly type: 'superseded'; readonly reason: string; readonly by: Generation | null }
  | { readonly type: 'unknown'; readonly reason: string }
  /** A broken rule or broken metadata: `code` says which. */
  | { readonly type: 'refused'; readonly code: string; readonly reason: string }

export interface ArbiterStep {
  readonly state: ArbiterState
  readonly effects: readonly ArbiterEffect[]
}

export const arbiterFor = (generation: Generation): ArbiterState => ({
  phase: 'unclaimed',
  generation,
  published: null,
  revision: '0',
  mirrorTag: null,
  pending: null,
})

type Common = Pick<ArbiterState, 'generation' | 'published' | 'revision' | 'mirrorTag' | 'pending'>
const common = ({ generation, published, revision, mirrorTag, pending }: ArbiterState): Common => ({
  generation,
  published,
  revision,
  mirrorTag,
  pending,
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
      return to({ ...common(state), phase: 'reading-mirror', nonce: event.nonce }, { type: 'read-mirror' })
    case 'publish':
      return publish(state, event.ref)
    case 'mirror-read':
      return mirrorRead(state, event.view)
    case 'mirror-swapped':
      return mirrorSwapped(state, event.tag)
    case 'register-read':
      return state.phase === 'reading-register' ? compare(state, state.mirrored, event.view) : misplaced(state, event)
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
      return to(
        { ...common(state), phase: 'claiming-mirror', head: own },
        { type: 'swap-mirror', head: own, expected: tag },
      )
    }
    case 'confirming-claim': {
      if (head?.nonce === state.head.nonce) return claimedMirror(state, state.head, tag!)
      if (head !== null && head.generation > state.generation) {
        return superseded(state, `head.json was claimed by generation ${head.generation}`, head.generation)
      }
      // An older leader's last mirror came between: nothing of ours was decided, the claim begins again.
      return to({ ...common(state), phase: 'unclaimed' }, { type: 'unknown', reason: 'head.json changed meanwhile' })
    }
    case 'confirming-mirror': {
      if (head?.nonce === state.head.nonce) return mirrored(state, state.head, tag!, state.asked)
      return superseded(state, 'head.json was changed by somebody else', head?.generation ?? null)
    }
    default:
      return misplaced(state, { type: 'mirror-read' })
  }
}

function mirrorSwapped(state: ArbiterState, tag: string | null): ArbiterStep {
  switch (state.phase) {
    case 'claiming-mirror':
      if (tag !== null) return claimedMirror(state, state.head, tag)
      return to({ ...state, phase: 'confirming-claim' }, { type: 'read-mirror' })
    case 'raising-mirror':
      if (tag !== null) return mirrored(state, state.head, tag, state.asked)
      return to({ ...state, phase: 'confirming-mirror' }, { type: 'read-mirror' })
    default:
      return misplaced(state, { type: 'mirror-swapped' })
  }
}

const claimedMirror = (state: ArbiterState, head: Head, tag: string): ArbiterStep =>
  to(
    { ...common(state), mirrorTag: tag, phase: 'reading-register', mirrored: head.manifest },
    { type: 'read-register' },
  )

/** Both are read, the mirror is ours: raise whichever is behind (PROTOCOL A1: the higher epoch is the truth). */
function compare(state: ArbiterState, mirror: ManifestRef | null, view: RegisterView): ArbiterStep {
  if (!view.leading) return superseded(state, 'the leader key in the arbiter is not ours any more')
  const next = { ...common(state), revision: view.revision }
  const [inMirror, inRegister] = [mirror?.epoch ?? 0, view.manifest?.epoch ?? 0]
  if (inMirror === inRegister) {
    if (sameManifest(mirror, view.manifest)) return claimed({ ...next, phase: 'claimed' }, mirror)
    const reason = `epoch ${inMirror} is ${mirror!.digest} in head.json and ${view.manifest!.digest} in the register`
    return refused({ ...next, phase: 'unclaimed' }, 'HEADS_FORKED', reason)
  }
  if (inMirror > inRegister) {
    return to(
      { ...next, phase: 'raising-register', to: mirror! },
      { type: 'swap-register', ref: mirror!, expected: view.revision },
    )
  }
  return raiseMirror(next, view.manifest!, false)
}

function claimed(state: ArbiterState & { phase: 'claimed' }, published: ManifestRef | null): ArbiterStep {
  return to({ ...state, published, pending: null }, { type: 'claimed', published })
}

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
  return to(
    { ...common(state), pending: ref, phase: 'swapping-register', ref },
    { type: 'swap-register', ref, expected: state.revision },
  )
}

function registerSwapped(state: ArbiterState, won: boolean, view: RegisterView): ArbiterStep {
  if (state.phase !== 'swapping-register' && state.phase !== 'raising-register') {
    return misplaced(state, { type: 'register-swapped' })
  }
  const ref = state.phase === 'swapping-register' ? state.ref : state.to
  if (!view.leading) return superseded(state, 'the leader key in the arbiter is not ours any more')
  // Refused, and yet it stands there: our own earlier request, whose answer was lost.
  if (!won && !sameManifest(view.manifest, ref)) return superseded(state, 'the register was changed by somebody else')
  const next = { ...common(state), revision: view.revision }
  if (state.phase === 'raising-register') return claimed({ ...next, phase: 'claimed' }, ref)
  return raiseMirror(next, ref, true)
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
  if (!asked) return claimed(next, ref)
  return to({ ...next, published: ref, pending: null }, { type: 'published', ref })
}

// ---- no answer ------------------------------------------------------------------------------------------------------

function noAnswer(state: ArbiterState, reason: string): ArbiterStep {
  switch (state.phase) {
    case 'swapping-register':
      return to({ ...common(state), phase: 'claimed' }, { type: 'unknown', reason })
    case 'raising-mirror':
    case 'confirming-mirror':
      // The register has it, the mirror perhaps: the same publish again goes through both (the first answers "refused,
      // and it stands there").
      if (state.asked) return to({ ...common(state), phase: 'claimed' }, { type: 'unknown', reason })
      return to({ ...common(state), phase: 'unclaimed' }, { type: 'unknown', reason })
    default:
      return to({ ...common(state), phase: 'unclaimed' }, { type: 'unknown', reason })
  }
}

const misplaced = (state: ArbiterState, event: { type: string }): ArbiterStep =>
  refused(state, 'INTERNAL', `event ${event.type} in phase ${state.phase}`)
