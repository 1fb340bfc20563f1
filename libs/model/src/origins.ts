/** The columns of a batch that tell where its records were read: added to, moved and cut together. */

/** Parallel arrays. */
export interface Origins {
  /** Source and split in one number: `placeOf`. */
  readonly places: number[]
  readonly offsets: number[]
  /** Which of the outputs of a flatMap each is, e.g. `2`, behind a second one `2.0`; null before the first flatMap. */
  readonly ordinals: string[] | null
  /** In jobs with `traceContext` the W3C trace context each came with; of a sampled record the one it goes on with; or null. */
  readonly traces?: (string | null)[] | undefined
  /** Only in jobs that keep claims in state beside dead letters: of a replayed one, where its first try was read. */
  readonly retries?: (string | null)[] | undefined
}

/** In `places` of a sampled record whose job does not ask where records were read: nobody may see it. */
export const NOWHERE = -1

/** Can records of both stand in one batch? Behind a union not all carry the same, and a sampled one carries more. */
export const haveSameColumns = (a: Origins | undefined, b: Origins | undefined): boolean =>
  a === undefined || b === undefined
    ? a === b
    : (a.ordinals === null) === (b.ordinals === null) && (a.traces === undefined) === (b.traces === undefined)

/** `ordinals`: whether the new ones have them; the other columns are those of `like`. */
export const emptyOrigins = (like: Origins, ordinals: boolean): Origins => ({
  places: [],
  offsets: [],
  ordinals: ordinals ? [] : null,
  ...(like.traces !== undefined && { traces: [] }),
  ...(like.retries !== undefined && { retries: [] }),
})

/** The origin of one record, once more: of a record made of it. */
export function pushOrigin(to: Origins, of: Origins, index: number): void {
  to.places.push(of.places[index]!)
  to.offsets.push(of.offsets[index]!)
  to.ordinals?.push(of.ordinals?.[index] ?? '')
  to.traces?.push(of.traces?.[index] ?? null)
  to.retries?.push(of.retries?.[index] ?? null)
}

/** The same, of the `ordinal`th of several records made of it; `to` has ordinals. */
export function pushOrdinal(to: Origins, of: Origins, index: number, ordinal: number): void {
  pushOrigin(to, of, index)
  to.ordinals![to.ordinals!.length - 1] = of.ordinals === null ? String(ordinal) : `${of.ordinals[index]}.${ordinal}`
}

export function moveOrigin({ places, offsets, ordinals, traces, retries }: Origins, from: number, to: number): void {
  places[to] = places[from]!
  offsets[to] = offsets[from]!
  if (ordinals !== null) ordinals[to] = ordinals[from]!
  if (traces !== undefined) traces[to] = traces[from]!
  if (retries !== undefined) retries[to] = retries[from]!
}

export function truncateOrigins(of: Origins, length: number): void {
  for (const column of originColumns(of)) column.length = length
}

export function sliceOrigins(
  { places, offsets, ordinals, traces, retries }: Origins,
  from?: number,
  to?: number,
): Origins {
  return {
    places: places.slice(from, to),
    offsets: offsets.slice(from, to),
    ordinals: ordinals?.slice(from, to) ?? null,
    ...(traces !== undefined && { traces: traces.slice(from, to) }),
    ...(retries !== undefined && { retries: retries.slice(from, to) }),
  }
}

export function originColumns({ places, offsets, ordinals, traces, retries }: Origins): unknown[][] {
  const columns: unknown[][] = [places, offsets]
  if (ordinals !== null) columns.push(ordinals)
  if (traces !== undefined) columns.push(traces)
  if (retries !== undefined) columns.push(retries)
  return columns
}
