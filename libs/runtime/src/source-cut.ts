/**
 * One source subtask on its way to its cut (watermark barriers, `checkpoint/src/cut.ts`), as a pure machine. A split that
 * has come to the cut's event time is held back until all have, or until the others are known to have nothing.
 *
 * ```
 *         ask                  reached, idle or ended: every split
 * open ──────────▶ waiting ──────────────────────────────────────────▶ cut ──injected──▶ open
 *   ▲                 │ given up, or another one is asked for
 *   └─────────────────┘
 * ```
 */
import { sameCheckpoint, type CheckpointId, type Watermark } from '@weir/model'

export interface CutAsked {
  readonly checkpoint: CheckpointId
  readonly time: Watermark
}

/** Splits that are not cut at the time: what they bring later from before it belongs to the next epoch. */
export interface CutExceptions {
  readonly idle: readonly number[]
  /** Were past the time when they heard of it. */
  readonly passed: readonly number[]
}

export type SourceCutState =
  | { readonly phase: 'open' }
  | (CutAsked &
      CutExceptions & {
        /** `cut`: the barrier is due, in front of what is held. */
        readonly phase: 'waiting' | 'cut'
        readonly held: ReadonlySet<number>
        /** Neither there nor idle nor ended. */
        readonly pending: ReadonlySet<number>
      })

export type SourceCutEvent =
  /** Splits that have not ended, and how far they are. */
  | {
      readonly type: 'ask'
      readonly asked: CutAsked
      readonly splits: readonly { readonly split: number; readonly watermark: Watermark }[]
    }
  /** The next record of the split would bring it to the time. */
  | { readonly type: 'reached'; readonly split: number }
  /** None of the splits that are waited for has had a record for long enough. */
  | { readonly type: 'idle' }
  | { readonly type: 'ended'; readonly split: number }
  | { readonly type: 'injected' }
  | { readonly type: 'give-up'; readonly checkpoint: CheckpointId }

const OPEN: SourceCutState = { phase: 'open' }
export const noCut = OPEN

export function stepSourceCut(state: SourceCutState, event: SourceCutEvent): SourceCutState {
  if (event.type === 'ask') return asked(event)
  if (state.phase === 'open') return state
  switch (event.type) {
    case 'reached':
      return arrived({ ...state, held: new Set([...state.held, event.split]) }, [event.split])
    case 'ended':
      return arrived(state, [event.split])
    case 'idle':
      return arrived({ ...state, idle: [...state.idle, ...state.pending] }, [...state.pending])
    case 'injected':
      return OPEN
    case 'give-up':
      return sameCheckpoint(state.checkpoint, event.checkpoint) ? OPEN : state
  }
}

/** → waiting, or → cut where nobody is waited for */
function asked({ asked: of, splits }: Extract<SourceCutEvent, { type: 'ask' }>): SourceCutState {
  const passed = splits.filter(({ watermark }) => watermark >= of.time).map(({ split }) => split)
  const pending = new Set(splits.map(({ split }) => split))
  return arrived({ phase: 'waiting', ...of, held: new Set(passed), pending, idle: [], passed }, passed)
}

function arrived(state: Exclude<SourceCutState, { phase: 'open' }>, splits: readonly number[]): SourceCutState {
  const pending = new Set([...state.pending].filter((split) => !splits.includes(split)))
  return { ...state, pending, phase: pending.size === 0 ? 'cut' : 'waiting' }
}
