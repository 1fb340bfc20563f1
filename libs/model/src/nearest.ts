/** What somebody may have meant. */

/** The one of `names` that is at most a third of its letters away from `name`; null: none is. */
export function nearest(name: string, names: readonly string[]): string | null {
  let best: { readonly name: string; readonly distance: number } | null = null
  for (const other of names) {
    const distance = editDistance(name.toLowerCase(), other.toLowerCase())
    if (distance > Math.max(1, Math.floor(Math.max(name.length, other.length) / 3))) continue
    if (best === null || distance < best.distance) best = { name: other, distance }
  }
  return best?.name ?? null
}

/** `Did you mean "x"? ` or what there is. */
export function instead(name: string, names: readonly string[], what: string): string {
  const near = nearest(name, names)
  const all =
    names.length === 0 ? `There is no ${what}.` : `There ${names.length === 1 ? 'is' : 'are'}: ${names.join(', ')}.`
  return near === null ? all : `Did you mean "${near}"? ${all}`
}

/** Letters to insert, delete, replace or swap with their neighbour. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, rows[i - 2]![j - 2]! + 1)
      row.push(cost)
    }
    rows.push(row)
  }
  return rows[a.length]![b.length]!
}
