/** From what a job says of a window to its node. */
import { counting, functionsOf, type Aggregate } from './aggregate.ts'
import type { WindowNode } from './graph.ts'
import type { GlobalSpec, SlidingSpec, Trigger, TumblingSpec, WindowSpec } from './window.ts'
import type { WindowAggregate, WindowProcess, WindowProcessOptions } from './window-process.ts'

/** A window with how it fires. */
export interface Windowing<W extends WindowSpec = WindowSpec> {
  readonly window: W
  readonly trigger?: Trigger
  readonly allowedLatenessMs?: number
}
/** Made by `globalWindow` and `countWindow`: without a trigger it would never fire. */
export interface GlobalWindowing extends Windowing<GlobalSpec> {
  readonly trigger: Trigger
}

export const windowingOf = <W extends WindowSpec>(of: W | Windowing<W>): Windowing<W> =>
  'window' in of ? of : { window: of }

export function windowNodeOf<T, A, O>(
  of: WindowSpec | Windowing,
  aggregate: WindowAggregate<T, A, O>,
  aggregateName: string,
): Omit<WindowNode, 'uid'> {
  const { window, trigger, allowedLatenessMs } = windowingOf(of)
  const { schema } = aggregate
  return {
    ...{ kind: 'window', window, aggregate: functionsOf(aggregate), aggregateName },
    ...(trigger && { trigger }),
    ...(allowedLatenessMs && { allowedLatenessMs }),
    ...(schema && { schema: schema as WindowNode['schema'] }),
  }
}

export const windowCountOf = (of: WindowSpec | Windowing): Omit<WindowNode, 'uid'> =>
  windowNodeOf(of, counting, 'count')

/** Windows whose records can be handed over whole; `sessionize` does that with sessions. */
export type WholeSpec = TumblingSpec | SlidingSpec

/** Accumulators are numbers of records; where a window is put together its parts are lists of them, made for that one firing. */
const elements: Aggregate<unknown, number, number> = {
  initial: 0,
  add: (count) => count + 1,
  merge(earlier, later) {
    const list = earlier as unknown as unknown[]
    for (const element of later as unknown as unknown[]) list.push(element)
    return earlier
  },
}

export const windowProcessOf = <T, R>(
  of: WholeSpec | Windowing<WholeSpec>,
  process: WindowProcess<T, R>,
  { schema }: WindowProcessOptions<T> = {},
): Omit<WindowNode, 'uid'> => ({
  ...windowNodeOf(of, elements, 'process'),
  process: process as WindowNode['process'] & {},
  ...(schema && { schema: schema as WindowNode['schema'] }),
})
