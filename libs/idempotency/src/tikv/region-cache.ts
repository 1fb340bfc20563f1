/** What is known of the regions: sorted by start, never overlapping; what overlaps is decided by the newer version. */
import { holds, overlap, type Region } from './region.ts'

/** As client-go: a region nobody asked for this long is asked of PD anew. */
export const REGION_IDLE_MS = 10 * 60_000

interface Entry {
  readonly region: Region
  usedAt: number
}

export class RegionCache {
  #entries: Entry[] = []

  get size(): number {
    return this.#entries.length
  }

  /** @param now monotonic ms */
  locate(boundary: Buffer, now: number): Region | null {
    const at = this.#lastStartingAtOrBefore(boundary)
    const entry = this.#entries[at]
    if (entry === undefined || !holds(entry.region, boundary)) return null
    if (now - entry.usedAt > REGION_IDLE_MS) {
      this.#entries.splice(at, 1)
      return null
    }
    entry.usedAt = now
    return entry.region
  }

  /** Replaces what it overlaps. @returns false: a newer one is known, nothing was changed */
  insert(region: Region, now: number): boolean {
    const from = this.#firstOverlapping(region)
    let to = from
    for (; to < this.#entries.length && overlap(this.#entries[to]!.region, region); to++)
      if (newer(this.#entries[to]!.region, region)) return false
    this.#entries.splice(from, to - from, { region, usedAt: now })
    return true
  }

  drop(id: bigint): void {
    this.#entries = this.#entries.filter((entry) => entry.region.id !== id)
  }

  /** The peer on `storeId` leads. @returns false: no such region or peer */
  lead(id: bigint, storeId: bigint): boolean {
    const at = this.#entries.findIndex((entry) => entry.region.id === id)
    const { region, usedAt } = this.#entries[at] ?? {}
    const leader = region?.peers.find((peer) => peer.storeId === storeId)
    if (region === undefined || leader === undefined) return false
    this.#entries[at] = { region: { ...region, leader }, usedAt: usedAt! }
    return true
  }

  /** A store that is no more: all regions it leads. */
  dropLedBy(storeId: bigint): void {
    this.#entries = this.#entries.filter((entry) => entry.region.leader?.storeId !== storeId)
  }

  #firstOverlapping(region: Region): number {
    const at = Math.max(0, this.#lastStartingAtOrBefore(region.start))
    const entry = this.#entries[at]
    return entry !== undefined && !overlap(entry.region, region) && entry.region.start.compare(region.start) <= 0
      ? at + 1
      : at
  }

  #lastStartingAtOrBefore(boundary: Buffer): number {
    let low = 0
    let high = this.#entries.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#entries[middle]!.region.start.compare(boundary) <= 0) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}

const newer = (known: Region, told: Region): boolean =>
  known.epoch.version > told.epoch.version ||
  (known.id === told.id && known.epoch.version === told.epoch.version && known.epoch.confVer > told.epoch.confVer)
