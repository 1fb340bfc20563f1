/** How a graph is refused. */
import { WeirError } from '@weir/model'

export const refused = (code: string, facts: Record<string, unknown>, text: readonly string[]): WeirError =>
  new WeirError({ ...facts, code, kind: 'invalid' }, text.join(' '))
