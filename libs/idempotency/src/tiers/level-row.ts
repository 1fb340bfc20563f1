/**
 * A row of the local tier: `until:checksum:text`, both in base 36. LevelDB checks its own blocks where it reads them from the disk
 * only if asked to, and classic-level cannot ask: a flipped bit must not become a claim of somebody else.
 */
export interface Row {
  readonly text: string
  /** Wall clock, ms. */
  readonly until: number
}

export const writeRow = (key: string, { text, until }: Row): string =>
  `${until.toString(36)}:${checksum(key, until, text).toString(36)}:${text}`

/** null: it was not written so. */
export function readRow(key: string, row: string): Row | null {
  const first = row.indexOf(':')
  const second = row.indexOf(':', first + 1)
  if (first < 1 || second < 0) return null
  const until = Number.parseInt(row.slice(0, first), 36)
  const text = row.slice(second + 1)
  return checksum(key, until, text).toString(36) === row.slice(first + 1, second) ? { text, until } : null
}

/** FNV-1a over UTF-16 units: a third of a microsecond for a claim, and finds what a disk does. */
function checksum(key: string, until: number, text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (until & 0xffffffff), 0x01000193)
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
