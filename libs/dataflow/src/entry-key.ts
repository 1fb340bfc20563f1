/**
 * Rows of a state that has several per key: those of a map, of a list, and timers. The name of such a state has a bracket
 * (`name[]`, `name[key].at`), and a row's key is made of the owner (the key of the record, which decides the key group) and
 * of what the row has to itself:
 *
 *     s3:ada·s… | n2:42·n…       kind and length of the owner, the owner, kind of the rest, the rest
 *
 * Stored: it can be read for ever.
 */
import type { Key } from '@weir/model'

/** Does the state's name say that its keys are entry keys? */
export const isEntries = (name: string): boolean => name.includes('[')

/** What the entry keys of an owner begin with. */
export function entryPrefix(owner: Key): string {
  if (typeof owner === 'string') return `s${owner.length}:${owner}`
  const text = String(owner)
  return `n${text.length}:${text}`
}

export const entryKey = (prefix: string, rest: Key): string =>
  typeof rest === 'string' ? `${prefix}s${rest}` : `${prefix}n${rest}`

function ownerEnd(entry: string): { from: number; to: number } {
  const from = entry.indexOf(':') + 1
  return { from, to: from + Number(entry.slice(1, from - 1)) }
}

export function ownerOfEntry(entry: string): Key {
  const { from, to } = ownerEnd(entry)
  const text = entry.slice(from, to)
  return entry.startsWith('s') ? text : Number(text)
}

export function restOfEntry(entry: string): Key {
  const { to } = ownerEnd(entry)
  const text = entry.slice(to + 1)
  return entry[to] === 's' ? text : Number(text)
}
