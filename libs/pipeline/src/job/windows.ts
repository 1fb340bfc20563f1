/** Windows of a keyed stream. */
import {
  countWindow,
  everyEventTime,
  everyProcessingTime,
  session,
  sliding,
  tumbling,
  type Duration,
  type KeyedStream,
  type WindowedStream,
} from '@weir/sdk'
import type { z } from 'zod'
import type { Window } from '../schema/steps.ts'
import { aggregateFold, numberOf, reduceFold, type AggregationSpec, type ReduceSpec } from './folds.ts'
import { refuse } from './problem.ts'
import { expression, within, type ExpressionSpec, type Place } from './projection.ts'
import { windowResult } from './types.ts'
import { INT, type ValueType } from './value-type.ts'

type WindowSpec = z.infer<typeof Window>
export interface Windowed {
  /** With a side output, where it is timed. */
  readonly stream: unknown
  readonly type: ValueType
  readonly isTimed: boolean
}

const KINDS = ['tumbling', 'sliding', 'session', 'count'] as const

export function windowStep(
  keyed: KeyedStream<unknown>,
  spec: WindowSpec,
  place: Place,
  name: string | undefined,
): Windowed {
  const given = KINDS.filter((kind) => spec[kind] !== undefined)
  if (given.length !== 1)
    refuse(
      place.path,
      `a window is one of ${KINDS.join(', ')}, and ${given.length === 0 ? 'none is given' : `${given.join(' and ')} are`}`,
      'Write e.g. { tumbling: 10s, fold: count }.',
    )
  const isTimed = spec.count === undefined
  if (!isTimed && spec.allowedLateness !== undefined)
    refuse(
      [...place.path, 'allowedLateness'],
      'nothing is too late for a window of a count',
      'Leave allowedLateness out.',
    )
  // Which of them it is, is known only now: the types of the API would have said it.
  let window = keyed.window(windowOf(spec) as never) as unknown as WindowedStream<unknown>
  if (spec.trigger !== undefined) {
    if (!isTimed) refuse([...place.path, 'trigger'], 'a window of a count fires by its count', 'Leave trigger out.')
    window = window.trigger(
      'everyEventTime' in spec.trigger
        ? everyEventTime(spec.trigger.everyEventTime as Duration)
        : everyProcessingTime(spec.trigger.everyProcessingTime as Duration),
    )
  }
  if (spec.allowedLateness !== undefined) window = window.allowedLateness(spec.allowedLateness as Duration)
  return { ...folded(window, spec, within(place, 'fold'), name), isTimed }
}

function windowOf({ tumbling: of, sliding: slides, session: gap, count }: WindowSpec) {
  if (of !== undefined)
    return typeof of === 'object' ? tumbling(of.size as Duration, offsetOf(of)) : tumbling(of as Duration)
  if (slides !== undefined) return sliding(slides.size as Duration, slides.every as Duration, offsetOf(slides))
  return gap !== undefined ? session(gap as Duration) : countWindow(count!)
}
const offsetOf = ({ offset }: { readonly offset?: string | number | undefined }): { offset?: Duration } =>
  offset === undefined ? {} : { offset: offset as Duration }

function folded(
  window: WindowedStream<unknown>,
  spec: WindowSpec,
  place: Place,
  name: string | undefined,
): Omit<Windowed, 'isTimed'> {
  const { fold } = spec
  if (fold === 'count') return { stream: window.count(name), type: windowResult(INT) }
  const uid =
    name ??
    refuse(
      place.path.slice(0, -2),
      'the window keeps state, and has no uid',
      'Give the step a uid: its state is found again by it after an upgrade.',
    )
  const [[kind, of] = []] = Object.entries(fold) as [string, unknown][]
  const at = within(place, kind!)
  switch (kind) {
    case 'reduce': {
      const { initial, add, merge, type } = reduceFold(of as ReduceSpec, at)
      const merges = spec.sliding !== undefined || spec.session !== undefined
      if (merges && merge === undefined)
        refuse(
          at.path,
          'sliding and session windows are put together from parts, and merge is missing',
          'Add merge: an expression of acc (earlier) and other (later).',
        )
      return {
        stream: window.reduce(uid, initial, add, { ...(merge && { merge }) } as never),
        type: windowResult(type),
      }
    }
    case 'aggregate': {
      const { aggregate, type } = aggregateFold(of as Readonly<Record<string, AggregationSpec>>, at)
      return { stream: window.aggregate(uid, aggregate), type: windowResult(type) }
    }
    default: {
      const text = of as ExpressionSpec
      const compiled = expression(text, at, { kinds: ['int', 'double'], what: `${kind} is of numbers` })
      const make = window[kind as 'sum' | 'min' | 'max']
      return {
        stream: make(uid, numberOf(compiled.of, place, String(text))),
        type: windowResult(compiled.type),
      }
    }
  }
}
