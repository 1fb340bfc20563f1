/** Keys of LevelDB. */
import type { Key } from '@weir/model'

/**
 * Sorted by key group: 8 hex digits, table number, `:`, namespace, `:`, key as JSON: `1` and `"1"` stay different keys, and
 * halves of surrogate pairs survive. Rows come by key group: the prefix made last is mostly the one that is asked for.
 */
export class RowKeys {
  #group = -1
  #table = -1
  #namespace = 0
  #prefix = ''

  of(group: number, table: number, namespace: number, key: Key): string {
    return this.prefix(group, table, namespace) + (typeof key === 'string' ? JSON.stringify(key) : String(key))
  }

  prefix(group: number, table: number, namespace: number): string {
    if (group !== this.#group || table !== this.#table || namespace !== this.#namespace) {
      this.#group = group
      this.#table = table
      this.#namespace = namespace
      this.#prefix = `${group.toString(16).padStart(8, '0')}${table}:${namespace}:`
    }
    return this.#prefix
  }
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
