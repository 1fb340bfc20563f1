/**
 * A node that lets each event through once, by claims in a store outside of the job (`operators/idempotent.ts`); what its job must
 * be for that. What its records are called: `claim-origin.ts`. Claims in the job's own state are a keyed process (`claims-in-state.ts`).
 */
import { WeirError, type OperatorUid } from '@weir/model'
import { checkClaimStore } from './claim-stores.ts'
import type { ClaimKey } from './claims.ts'
import type { GraphNode, JobDefinition, NodeKind } from './graph.ts'
import { DURATION_MS_MAX } from './settings.ts'
import type { Links } from './stages.ts'

/** Where claims are kept: plain data. `store` picks the adapter (`redis`, …). */
export interface ClaimsDescriptor {
  readonly store: string
  readonly [option: string]: unknown
}

export interface ClaimOf {
  readonly key: ClaimKey
  readonly fingerprint: string
}

export type OnConflict = 'sideOutput' | 'pass' | 'fail'

/** `block`: the stage stands still and asks again for so long (ms), then the attempt ends. */
export type OnClaimsUnavailable =
  { readonly policy: 'block'; readonly forMs: number } | { readonly policy: 'fail' } | { readonly policy: 'local' }

export interface IdempotentNode {
  readonly kind: 'idempotent'
  readonly uid: OperatorUid
  readonly claims: ClaimsDescriptor
  /** Names of its side outputs. */
  readonly sides: readonly string[]
  /** A function of the record alone: what it says is said again when the record is read again. */
  readonly claimOf: (value: unknown, timestamp: number) => ClaimOf
  readonly windowMs: number
  /** How long a store keeps a claim, beside how far back a restart may read: `rewindMs`. */
  readonly ttlMs: number
  readonly rewindMs: number
  readonly onConflict: OnConflict
  readonly onUnavailable: OnClaimsUnavailable
}

/** Side outputs. */
export const DUPLICATES = 'duplicates'
export const CONFLICTS = 'conflicts'

/** An event that says to be one that was there already, and differs from it. */
export interface Conflict<T> {
  readonly kind: 'CONFLICT'
  readonly value: T
  readonly bizKey: string
  readonly eventType: string
  readonly fingerprint: string
  /** Who holds the key. `origin`: where it was read; null where nobody knows. */
  readonly held: { readonly fingerprint: string; readonly eventTime: number; readonly origin: string | null }
}

/** A restart should not lose the whole of its budget in one wait: DESIGN's bound. */
export const CLAIMS_BLOCK_MS_MAX = 30_000

export function checkIdempotent(node: IdempotentNode, invalid: (text: string) => WeirError): void {
  const { windowMs, ttlMs, rewindMs, onConflict, onUnavailable } = node
  const whole = (name: string, value: number, min: number, max: number): void => {
    if (Number.isInteger(value) && value >= min && value <= max) return
    throw invalid(`${name} is ${value} ms; it must be a whole number from ${min} to ${max}.`)
  }
  whole('window', windowMs, 1, DURATION_MS_MAX)
  whole('ttl', ttlMs, windowMs, DURATION_MS_MAX)
  whole('rewind', rewindMs, 0, DURATION_MS_MAX)
  if (onUnavailable.policy === 'block')
    whole('the time onUnavailable blocks', onUnavailable.forMs, 1, CLAIMS_BLOCK_MS_MAX)
  else if (!['fail', 'local'].includes(onUnavailable.policy))
    throw invalid(`onUnavailable is ${JSON.stringify(onUnavailable)}; it is "block" (with a time), "fail" or "local".`)
  checkOnConflict(onConflict, invalid)
  checkClaimStore(node)
}

function checkOnConflict(onConflict: string, invalid: (text: string) => WeirError): void {
  if (['sideOutput', 'pass', 'fail'].includes(onConflict)) return
  throw invalid(`onConflict is ${JSON.stringify(onConflict)}; it is "sideOutput", "pass" or "fail".`)
}

/** A barrier waits for claims, and they wait for their store. Throws WeirError `CLAIMS_TOO_LONG` (invalid). */
export function checkClaimsFit({ settings, graph }: JobDefinition): void {
  const { alignTimeoutMs } = settings.checkpoint
  for (const node of graph.nodes) {
    if (node.kind !== 'idempotent' || node.onUnavailable.policy !== 'block') continue
    const { uid, onUnavailable } = node
    if (onUnavailable.forMs <= alignTimeoutMs) continue
    throw new WeirError(
      { code: 'CLAIMS_TOO_LONG', kind: 'invalid', uid, blockMs: onUnavailable.forMs, alignTimeoutMs },
      `idempotent "${uid}" waits up to ${onUnavailable.forMs} ms for its store, and a barrier waits for it: longer than checkpoint.alignTimeoutMs ` +
        `(${alignTimeoutMs}). Lower the one or raise the other.`,
    )
  }
}

// ---- what a record is called -----------------------------------------------------------------------------------------

/** One record in, that record or a function of it out: it has the origin of what it was made of. */
const ONE_TO_ONE: ReadonlySet<NodeKind> = new Set([
  'filter',
  'map',
  'asyncMap',
  'keyBy',
  'keyedBySource',
  'union',
  'idempotent',
])
/** Results that are there again in every replay: by key and end. */
const isNamedByWindow = (node: GraphNode): boolean =>
  node.kind === 'window' && node.window.type !== 'global' && node.trigger === undefined && !node.allowedLatenessMs

/**
 * The window whose results reach the node, which are called by window, key and time; null: records that were read, called by
 * where. Throws WeirError `CLAIMS_WITHOUT_ORIGIN` (invalid) where what reaches it has no name that a replay would give it again.
 */
export function claimedWindow(
  nodes: readonly GraphNode[],
  { inputs }: Pick<Links, 'inputs'>,
  index: number,
): OperatorUid | null {
  const { uid } = nodes[index]!
  const windows = new Set<OperatorUid>()
  const seen = new Set<number>()
  let splits = false
  const visit = (at: number): void => {
    if (seen.has(at)) return
    seen.add(at)
    for (const from of inputs[at]!) {
      const node = nodes[from]!
      if (node.kind === 'source') continue
      if (isNamedByWindow(node)) windows.add(node.uid)
      else if (ONE_TO_ONE.has(node.kind)) visit(from)
      else if (node.kind === 'flatMap') {
        splits = true
        visit(from)
      } else if (node.kind === 'sideOutput' && nodes[inputs[from]![0]!]!.kind === 'idempotent') visit(inputs[from]![0]!)
      else throw withoutOrigin(uid, node)
    }
  }
  visit(index)
  const [window = null, second] = windows
  if (second !== undefined || (window !== null && splits))
    throw withoutOrigin(
      uid,
      nodes.find((node) => node.uid === (second ?? window))!,
    )
  return window
}

const withoutOrigin = (uid: OperatorUid, { kind, uid: of }: GraphNode): WeirError =>
  new WeirError(
    { code: 'CLAIMS_WITHOUT_ORIGIN', kind: 'invalid', uid, of, ofKind: kind },
    `idempotent "${uid}" comes behind ${kind} "${of}": which of its outputs a record is depends on the order in which others came, so a replay might ` +
      `give it another name, and it would be taken for a duplicate of itself. Put .idempotent(…) before "${of}", or keep the claims in the job's state: store: 'state'.`,
  )

// ---- dead letters ----------------------------------------------------------------------------------------------------

/**
 * By node: the idempotent nodes (indices) whose claims a record hands on that fails there. Only those from which it has come on one
 * way, one to one: beside another way, or behind a flatMap, it has had an effect already, and nobody may have it again.
 */
export function claimsHandedOn(
  nodes: readonly GraphNode[],
  { inputs, outputs }: Links,
): readonly (readonly number[])[] {
  const handed: number[][] = []
  for (const [i, node] of nodes.entries()) {
    const of = new Set<number>()
    for (const from of inputs[i]!) {
      const { kind } = nodes[from]!
      const ways = outputs[from]!.filter((to) => nodes[to]!.kind !== 'sideOutput' || kind !== 'idempotent').length
      if (!ONE_TO_ONE.has(kind) || ways !== 1 || node.kind === 'sideOutput') continue
      for (const claimed of handed[from]!) of.add(claimed)
      if (kind === 'idempotent') of.add(from)
    }
    handed.push([...of])
  }
  return handed
}
