/** The states a window keeps. */
import type { WindowNode } from '../graph.ts'
import type { StateDeclaration } from '../state-schema.ts'
import { timersState } from '../timers.ts'
import { keepsFired } from '../window.ts'
import { FIRED_STATE } from './fired-time.ts'
import { WINDOW_DUE_STATE, WINDOW_SEEN_STATE } from './global-window.ts'
import { WINDOW_COUNT_STATE } from './pane-window.ts'
import { SESSIONS_STATE, SESSION_ACCUMULATORS_STATE, SESSION_COUNTS_STATE } from './session-window.ts'
import { WINDOW_STATE } from './tumbling-window.ts'
import { WINDOW_ELEMENTS_STATE } from './window-elements.ts'

export function statesOfWindow(node: WindowNode): readonly StateDeclaration[] {
  const { window, trigger, schema = null } = node
  const isSession = window.type === 'session'
  const others = [
    ...(isSession ? [SESSIONS_STATE] : keepsFired(node) ? [FIRED_STATE] : []),
    ...(window.type === 'global' ? [WINDOW_SEEN_STATE] : []),
    ...triggerStates(window.type, trigger?.every.by),
  ]
  const plain = others.map((name) => ({ name, schema: null }))
  if (node.process) return [{ name: WINDOW_STATE, schema: null }, { name: WINDOW_ELEMENTS_STATE, schema }, ...plain]
  return [{ name: isSession ? SESSION_ACCUMULATORS_STATE : WINDOW_STATE, schema }, ...plain]
}

function triggerStates(
  window: WindowNode['window']['type'],
  by: NonNullable<WindowNode['trigger']>['every']['by'] | undefined,
): string[] {
  switch (by) {
    case 'count':
      return window === 'global' ? [] : [window === 'session' ? SESSION_COUNTS_STATE : WINDOW_COUNT_STATE]
    case 'event-time':
      return window === 'global' ? [WINDOW_DUE_STATE] : []
    case 'processing-time':
      return [timersState('processing')]
    case undefined:
      return []
  }
}
