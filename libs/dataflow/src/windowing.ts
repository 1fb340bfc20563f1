/** From what a job says of a window to its node. */
import { counting, functionsOf, type Aggregate } from './aggregate.ts'
import type { WindowNode } from './graph.ts'
import type { GlobalSpec, Trigger, WindowSpec } from './window.ts'

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
  aggregate: Aggregate<T, A, O>,
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
