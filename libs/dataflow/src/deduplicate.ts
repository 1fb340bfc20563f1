/**
 * Lets the first record of a key through and takes out those that come with it again within `ttlMs` of event time; the first one
 * begins the time, duplicates do not lengthen it. First is who arrives first: of records out of order that may be the younger.
 */
import type { KeyedProcess, Out, ValueDescriptor } from './keyed-state.ts'
import { sideOutput, type SideOutput } from './side-output.ts'

export type Duplicates<T> = { readonly duplicates: SideOutput<T> }

export const deduplicating = <T>(
  ttlMs: number,
): KeyedProcess<T, T, { readonly seen: ValueDescriptor<1> }, Record<never, never>, Duplicates<T>> => ({
  state: { seen: { kind: 'value', ttl: { ms: ttlMs, update: 'write' }, initial: undefined } },
  sides: { duplicates: sideOutput<T>() },
  onRecord({ state: { seen }, sides }, value, out: Out<T>) {
    if (seen.get() !== undefined) return sides.duplicates.emit(value)
    seen.set(1)
    out.emit(value)
  },
})
