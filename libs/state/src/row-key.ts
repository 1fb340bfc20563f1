/** Keys of LevelDB. */
import type { Key } from '@weir/model'

/**
 * Sorted by key group: 8 hex digits, table number, `:`, namespace, `:`, key as JSON: `1` and `"1"` stay different keys, and
 * halves of surrogate pairs survive.
 */
export const dbKey = (group: number, table: number, namespace: number, key: Key): string =>
  dbPrefix(group, table, namespace) + (typeof key === 'string' ? JSON.stringify(key) : String(key))

/** Rows come by key group: the prefix made last is mostly the one that is asked for. */
const last = { group: -1, table: -1, namespace: 0, prefix: '' }

export function dbPrefix(group: number, table: number, namespace: number): string {
  if (group !== last.group || table !== last.table || namespace !== last.namespace) {
    last.group = group
    last.table = table
    last.namespace = namespace
    last.prefix = `${group.toString(16).padStart(8, '0')}${table}:${namespace}:`
  }
  return last.prefix
}

export function parsedKey(at: string): { group: number; table: number; namespace: number; key: Key } {
  const first = at.indexOf(':', 8)
  const second = at.indexOf(':', first + 1)
  const text = at.slice(second + 1)
  return {
    group: parseInt(at.slice(0, 8), 16),
    table: Number(at.slice(8, first)),
    namespace: Number(at.slice(first + 1, second)),
    key: text.startsWith('"') ? (JSON.parse(text) as string) : Number(text),
  }
}
