/** What fills a column: a field of the value (`total`, `value.total`), `$value`, `$key`, `$timestamp`. */
import type { RecordBatch } from '@weir/model'

/** What fills one column, of record `i`. */
export type Pick = (batch: RecordBatch, i: number) => unknown

export function pickOf(from: string): Pick {
  if (from === '$value') return ({ values }, i) => values[i]
  if (from === '$key') return ({ keys }, i) => keys?.[i] ?? null
  if (from === '$timestamp') return ({ timestamps }, i) => timestamps[i]
  const path = from.split('.')
  return ({ values }, i) => {
    let at: unknown = values[i]
    for (const field of path) at = (at as Record<string, unknown> | null | undefined)?.[field]
    return at
  }
}
