/**
 * The handles of `keyed-state.ts` over keyed rows. Which rows each kind has (`rowsOf`) is stored: it can be read for ever.
 */
import type { Key } from '@weir/model'
import type { KeyScope } from './handles/key-scope.ts'
import { List } from './handles/list.ts'
import { Entries } from './handles/map.ts'
import type { Handle } from './handles/rows.ts'
import { TimedValue } from './handles/timed-value.ts'
import { Aggregating, Value } from './handles/value.ts'
import type {
  AggregatingState,
  ListState,
  MapState,
  StateDescriptor,
  StateDescriptors,
  StatesOf,
  ValueState,
} from './keyed-state.ts'
import type { KeyedStates } from './operator.ts'

function handleOf(
  states: KeyedStates,
  scope: KeyScope,
  name: string,
  descriptor: StateDescriptor,
): Handle &
  (ValueState<unknown, unknown> | ListState<unknown> | MapState<Key, unknown> | AggregatingState<unknown, unknown>) {
  switch (descriptor.kind) {
    case 'value':
      if (descriptor.timed && descriptor.ttl !== null) return new TimedValue(states, scope, name, descriptor.ttl)
      return new Value(states, scope, name, descriptor.ttl, descriptor.initial)
    case 'list':
      return new List(states, scope, name, descriptor.ttl)
    case 'map':
      return new Entries(states, scope, name, descriptor.ttl)
    case 'aggregating':
      return new Aggregating(states, scope, name, descriptor.ttl, descriptor)
  }
}

/**
 * The keyed states that hold a state's rows; `values` holds what the job put in, the others are the engine's. Two kinds share
 * no name but value and aggregating: a state that becomes another kind is another state, and the old one is missed.
 */
export function rowsOf(name: string, { kind, ttl }: StateDescriptor): { values: string; others: readonly string[] } {
  const values = { value: name, aggregating: name, list: `${name}[]`, map: `${name}[key]` }[kind]
  const others = {
    ...{ value: [], aggregating: [], list: [`${name}.next`, `${name}.head`] },
    map: [`${name}.size`, `${values}.at`, `${values}.place`],
  }[kind]
  return { values, others: ttl === null ? others : [...others, `${values}.touched`] }
}

/** `cleanUp` holds the handles of states with a TTL. */
export function handlesOf<S extends StateDescriptors>(
  states: KeyedStates,
  scope: KeyScope,
  descriptors: S,
): { readonly state: StatesOf<S>; readonly aging: readonly Handle[] } {
  const made = Object.entries(descriptors).map(([name, of]) => [name, handleOf(states, scope, name, of)] as const)
  return {
    state: Object.freeze(Object.fromEntries(made)) as unknown as StatesOf<S>,
    aging: made.flatMap(([name, handle]) => (descriptors[name]!.ttl === null ? [] : [handle])),
  }
}
