/**
 * Who may use a worker id, as a pure machine over etcd. Two keys per worker id of a datacenter:
 *
 *   holder   leased; whoever created it has the id. Its create revision and its value (a nonce) fence every change: a restored etcd
 *            gives revisions out again
 *   mark     not leased: no id has this time or a later one. It lies ahead of what is used and is raised before it is reached
 *
 * ```
 *   choosing ──a free id──▶ claiming ──created──▶ marking ──first mark acknowledged──▶ held ──▶ lost ──pause──▶ choosing
 *       ▲                      │ taken, or no answer    │ no answer, lease over                 (gone, fenced, or over by our clock)
 *       └──────────pause───────┴────────────────────────┘
 * ```
 *
 * Rules (PROTOCOL C4), each removed in test/mutation/dtxid.test.ts:
 * - ids only before the lease's end by our own clock, counted from when the question was sent, less a margin for clocks that run apart
 * - ids only below an acknowledged mark; the next holder begins at the mark + TTL (which also covers an etcd restored from
 *   a copy less than a TTL old)
 * - a mark is changed only from the revision that is known: one whose answer was lost may arrive late and would lower it
 *
 * A free id is the one whose mark is lowest, so an id rests as long as it can and a restart waits for no mark.
 */
import { WORKERS } from './layout.ts'

export interface LeaseSettings {
  /** Worker ids of the datacenter, from 0: at most WORKERS. */
  readonly workers: number
  /** Whole seconds × 1,000: etcd's unit. */
  readonly ttlMs: number
  /** Taken off the lease's end. */
  readonly marginMs: number
  /** How far ahead of use a mark is put. */
  readonly markAheadMs: number
  readonly retryMs: number
}
export const LEASE_DEFAULTS: LeaseSettings = {
  workers: WORKERS,
  ttlMs: 10_000,
  marginMs: 1_000,
  markAheadMs: 10_000,
  retryMs: 500,
}

/** ms since TIME_ORIGIN_MS, and the revision of its key; null: the key is not there. */
export interface Mark {
  readonly value: number
  readonly revision: string | null
}
/** A worker id that we hold. */
export interface Hold {
  readonly worker: number
  /** Of the claim: what the port needs to speak for it. */
  readonly holder: Holder
  readonly mark: Mark
  /** First time that this holder may use. */
  readonly from: number
  /** When the claim, or its last renewal, was asked for: the lease counts from there. Monotonic ms. */
  readonly askedAt: number
}
export interface Holder {
  readonly worker: number
  readonly leaseId: string
  /** Create revision of the holder's key. */
  readonly revision: string
  readonly nonce: string
}

export type LeaseState =
  | { readonly phase: 'idle' }
  /** `why`: what people are told. */
  | { readonly phase: 'pausing'; readonly until: number; readonly why: string }
  | { readonly phase: 'choosing' }
  | { readonly phase: 'claiming'; readonly worker: number; readonly askedAt: number }
  | { readonly phase: 'marking' | 'held'; readonly hold: Hold; readonly extending: boolean; readonly renewing: boolean }
  | { readonly phase: 'released' }

export type LeaseEvent =
  | { readonly type: 'open' }
  /** `marks`: of ids that were ever held. `now`: monotonic ms. */
  | {
      readonly type: 'listed'
      readonly taken: ReadonlySet<number>
      readonly marks: ReadonlyMap<number, number>
      readonly draw: number
      readonly now: number
    }
  | { readonly type: 'claimed'; readonly holder: Holder; readonly mark: Mark; readonly reach: number }
  | { readonly type: 'taken'; readonly now: number }
  /** `of`, here and below: the holder that was asked about, which may be one we are no more. */
  | { readonly type: 'renewed'; readonly of: Holder; readonly askedAt: number }
  | { readonly type: 'extended'; readonly of: Holder; readonly mark: Mark }
  /** A write of ours whose answer was lost came between: this is what is there. */
  | { readonly type: 'moved'; readonly of: Holder; readonly mark: Mark; readonly reach: number }
  /** etcd says that the id is not ours (any more). */
  | { readonly type: 'gone'; readonly of: Holder; readonly now: number }
  /** `of` null: it was about no holder. */
  | {
      readonly type: 'unanswered'
      readonly what: LeaseQuestion['type']
      readonly of: Holder | null
      readonly now: number
    }
  /** Time passes. `reach`: the highest time that could be used by now, ms since TIME_ORIGIN_MS. */
  | { readonly type: 'tick'; readonly now: number; readonly reach: number }
  /** Our clock cannot be believed: ask now. */
  | { readonly type: 'doubt'; readonly now: number }
  | { readonly type: 'release' }

/** Every question is answered by one event, or by `unanswered`. */
export type LeaseQuestion =
  | { readonly type: 'list' }
  | { readonly type: 'claim'; readonly worker: number }
  | { readonly type: 'renew'; readonly holder: Holder }
  | { readonly type: 'extend'; readonly holder: Holder; readonly value: number; readonly over: string | null }
/** What the clock is told. */
export type LeaseGrant =
  | {
      readonly type: 'grant'
      readonly from: number
      readonly mark: number
      readonly end: number
      readonly askedAt: number
    }
  | { readonly type: 'renewed'; readonly end: number; readonly askedAt: number }
  | { readonly type: 'marked'; readonly mark: number }
  | { readonly type: 'lose' }
/** `give-back` needs no answer: what is not given back runs out. */
export type LeaseEffect = LeaseQuestion | LeaseGrant | { readonly type: 'give-back'; readonly holder: Holder }

export interface LeaseStep {
  readonly state: LeaseState
  readonly effects: readonly LeaseEffect[]
}
const still = (state: LeaseState): LeaseStep => ({ state, effects: [] })
const pause = (
  why: string,
  { now }: { readonly now: number },
  { retryMs }: LeaseSettings,
  effects: readonly LeaseEffect[] = [],
): LeaseStep => ({ state: { phase: 'pausing', until: now + retryMs, why }, effects })
const SILENT = 'etcd did not answer'
const LIST: LeaseStep = { state: { phase: 'choosing' }, effects: [{ type: 'list' }] }

export function stepLease(state: LeaseState, event: LeaseEvent, settings: LeaseSettings): LeaseStep {
  if (event.type === 'release') return release(state)
  switch (state.phase) {
    case 'released':
      // A claim that was on its way: it is given back at once.
      return event.type === 'claimed' ? { state, effects: [{ type: 'give-back', holder: event.holder }] } : still(state)
    case 'idle':
      return event.type === 'open' ? LIST : still(state)
    case 'pausing':
      return event.type === 'tick' && event.now >= state.until ? LIST : still(state)
    case 'choosing':
      return choose(state, event, settings)
    case 'claiming':
      return claimed(state, event, settings)
    case 'marking':
    case 'held':
      return hold(state, event, settings)
  }
}

/** choosing → claiming, or → pausing when all are taken or nobody answers. What a holder of before had asked may come here still. */
function choose(state: LeaseState, event: LeaseEvent, settings: LeaseSettings): LeaseStep {
  if (event.type === 'unanswered' && event.what === 'list') return pause(SILENT, event, settings)
  if (event.type !== 'listed') return still(state)
  const worker = freeWorker(settings.workers, event.taken, event.marks, event.draw)
  if (worker === null) return pause(`all ${settings.workers} worker ids of this datacenter are held`, event, settings)
  return { state: { phase: 'claiming', worker, askedAt: event.now }, effects: [{ type: 'claim', worker }] }
}

/** The one that has rested longest; of several that were never held one is drawn, so that two who ask at once rarely meet. Null: none. */
export function freeWorker(
  workers: number,
  taken: ReadonlySet<number>,
  marks: ReadonlyMap<number, number>,
  draw: number,
): number | null {
  let lowest = Infinity
  let among: number[] = []
  for (let worker = 0; worker < workers; worker++) {
    if (taken.has(worker)) continue
    const mark = marks.get(worker) ?? 0
    if (mark < lowest) {
      lowest = mark
      among = []
    }
    if (mark === lowest) among.push(worker)
  }
  return among[Math.floor(draw * among.length)] ?? null
}

/** claiming → marking, or → pausing */
function claimed(
  state: Extract<LeaseState, { phase: 'claiming' }>,
  event: LeaseEvent,
  settings: LeaseSettings,
): LeaseStep {
  if (event.type === 'taken') return pause('another process took the worker id first', event, settings)
  if (event.type === 'unanswered' && event.what === 'claim') return pause(SILENT, event, settings)
  if (event.type !== 'claimed') return still(state)
  const { holder, mark } = event
  const from = mark.value + (mark.revision === null ? 0 : settings.ttlMs)
  const held: Hold = { worker: state.worker, holder, mark, from, askedAt: state.askedAt }
  return extend({ phase: 'marking', hold: held, extending: false, renewing: false }, event.reach, settings)
}

/** By our clock, as if it ran as much too slowly as the margin allows. */
const endOf = ({ askedAt }: Hold, { ttlMs, marginMs }: LeaseSettings): number => askedAt + ttlMs - marginMs

type Holding = Extract<LeaseState, { phase: 'marking' | 'held' }>

/** marking → held; both → pausing when it is over */
function hold(state: Holding, event: LeaseEvent, settings: LeaseSettings): LeaseStep {
  const { hold } = state
  if ('of' in event && event.of?.nonce !== hold.holder.nonce) return still(state)
  switch (event.type) {
    case 'extended': {
      const next: Holding = { ...state, phase: 'held', hold: { ...hold, mark: event.mark }, extending: false }
      const { from, askedAt } = hold
      return {
        state: next,
        effects: [
          state.phase === 'marking'
            ? { type: 'grant', from, mark: event.mark.value, end: endOf(hold, settings), askedAt }
            : { type: 'marked', mark: event.mark.value },
        ],
      }
    }
    case 'moved': {
      const moved: Holding = { ...state, hold: { ...hold, mark: event.mark }, extending: false }
      return extend(moved, event.reach, settings)
    }
    case 'renewed': {
      const renewed: Hold = { ...hold, askedAt: Math.max(hold.askedAt, event.askedAt) }
      const next: Holding = { ...state, hold: renewed, renewing: false }
      const { askedAt } = renewed
      return {
        state: next,
        effects: state.phase === 'held' ? [{ type: 'renewed', end: endOf(renewed, settings), askedAt }] : [],
      }
    }
    case 'unanswered': {
      if (event.what === 'extend') return still({ ...state, extending: false })
      return still(event.what === 'renew' ? { ...state, renewing: false } : state)
    }
    case 'gone':
      return pause('etcd says that the worker id is not ours any more', event, settings, [{ type: 'lose' }])
    case 'doubt':
      return renew({ ...state, renewing: false })
    case 'tick': {
      const leftMs = endOf(hold, settings) - event.now
      if (leftMs <= 0) {
        return pause('the lease was over by our clock', event, settings, [
          { type: 'lose' },
          { type: 'give-back', holder: hold.holder },
        ])
      }
      const renewed = leftMs < (settings.ttlMs - settings.marginMs) * 0.75 ? renew(state) : still(state)
      if (hold.mark.value - event.reach >= settings.markAheadMs * 0.75 && state.phase === 'held') return renewed
      const extended = extend(renewed.state as Holding, event.reach, settings)
      return { state: extended.state, effects: [...renewed.effects, ...extended.effects] }
    }
    default:
      return still(state)
  }
}

function renew(state: Holding): LeaseStep {
  if (state.renewing) return still(state)
  return { state: { ...state, renewing: true }, effects: [{ type: 'renew', holder: state.hold.holder }] }
}

/** A mark only rises, and lies ahead of what could be used by now, not of where a holder begins: holders would drive each other on. */
function extend(state: Holding, reach: number, settings: LeaseSettings): LeaseStep {
  if (state.extending) return still(state)
  const { holder, mark } = state.hold
  const value = Math.max(mark.value, reach + settings.markAheadMs)
  return {
    state: { ...state, extending: true },
    effects: [{ type: 'extend', holder, value, over: mark.revision }],
  }
}

function release(state: LeaseState): LeaseStep {
  const next: LeaseState = { phase: 'released' }
  if (state.phase !== 'marking' && state.phase !== 'held') return still(next)
  return {
    state: next,
    effects: [{ type: 'lose' }, { type: 'give-back', holder: state.hold.holder }],
  }
}
