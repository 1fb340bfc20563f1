/** Which operator a window needs: the least that does it. */
import type { WindowNode } from '../graph.ts'
import type { Operator } from '../operator.ts'
import { GlobalWindow } from './global-window.ts'
import { PaneWindow } from './pane-window.ts'
import { SessionWindow } from './session-window.ts'
import { TumblingWindow } from './tumbling-window.ts'

export type WindowOperatorOptions = Pick<
  WindowNode,
  'uid' | 'window' | 'aggregate' | 'allowedLatenessMs' | 'trigger' | 'process'
>

export function windowOperator(node: WindowOperatorOptions): Operator {
  const { window, trigger, process, allowedLatenessMs = 0 } = node
  switch (window.type) {
    case 'session':
      return new SessionWindow({ ...node, window })
    case 'global':
      return new GlobalWindow({ ...node, window })
    case 'tumbling':
      return trigger === undefined && process === undefined && allowedLatenessMs === 0
        ? new TumblingWindow({ ...node, window })
        : new PaneWindow({ ...node, window })
    case 'sliding':
      return new PaneWindow({ ...node, window })
  }
}
