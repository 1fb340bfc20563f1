/** Which region a key is in: from the cache, else from PD, which is not asked more at a time than it takes. */
import type { Clock } from '@weir/model'
import type { KeyCodec } from './key-codec.ts'
import { PdFailure, type PlacementDriver } from './placement-driver.ts'
import { RegionCache } from './region-cache.ts'
import type { Region } from './region.ts'

/** Of one RawBatchGet, as client-go. */
const BATCH_KEYS_MAX = 512
/** Regions asked of PD at once when a batch begins with an empty cache. */
const WARM_UP_REGIONS_MAX = 128
/** Questions to PD at a time. */
const ASKING_MAX = 8

export interface RegionsDependencies {
  readonly pd: PlacementDriver
  readonly codec: KeyCodec
  readonly clock: Clock
}

export class Regions {
  readonly cache = new RegionCache()
  readonly #deps: RegionsDependencies
  /** Calls that miss the cache at once wait for a few answers of PD: most will then find what they need. */
  readonly #asking = new Set<Promise<unknown>>()

  constructor(deps: RegionsDependencies) {
    this.#deps = deps
  }

  /** Of a key on the wire; null: PD knows none. Throws `PdFailure`. */
  async of(wire: Buffer, deadline: number, signal: AbortSignal): Promise<Region | null> {
    const { clock, codec, pd } = this.#deps
    const boundary = codec.toBoundary(wire)
    for (;;) {
      const known = this.cache.locate(boundary, clock.monotonic())
      if (known !== null) return known
      if (clock.monotonic() >= deadline) throw new PdFailure('PD: no time left to ask for a region')
      if (this.#asking.size < ASKING_MAX) {
        const region = await this.#counted(pd.region(boundary, deadline, signal))
        if (region !== null) this.cache.insert(region, clock.monotonic())
        // Also one that the cache thinks outdated: what the store says of it decides.
        return this.cache.locate(boundary, clock.monotonic()) ?? region
      }
      // Whether the others got their answer is their own affair.
      await Promise.race(this.#asking).catch(() => undefined)
    }
  }

  async #counted<T>(asked: Promise<T>): Promise<T> {
    this.#asking.add(asked)
    try {
      return await asked
    } finally {
      this.#asking.delete(asked)
    }
  }

  /** One question for many regions, instead of one each. What it leaves out the calls ask for themselves. */
  async warmUp(wires: readonly Buffer[], deadline: number, signal: AbortSignal): Promise<void> {
    const { clock, codec, pd } = this.#deps
    const now = clock.monotonic()
    const unknown = wires.map((wire) => codec.toBoundary(wire)).filter((at) => this.cache.locate(at, now) === null)
    if (unknown.length < 2) return
    unknown.sort((a, b) => a.compare(b))
    const behind = Buffer.concat([unknown.at(-1)!, Buffer.alloc(1)])
    try {
      const asked = pd.regions(unknown[0]!, behind, WARM_UP_REGIONS_MAX, deadline, signal)
      for (const region of await asked) this.cache.insert(region, clock.monotonic())
    } catch (error) {
      if (!(error instanceof PdFailure)) throw error
    }
  }

  /** Keys of one region together, as many as one request takes; those of unknown regions apart. */
  group(wires: readonly Buffer[]): Buffer[][] {
    const { clock, codec } = this.#deps
    const groups = new Map<bigint, Buffer[][]>()
    for (const wire of wires) {
      const id = this.cache.locate(codec.toBoundary(wire), clock.monotonic())?.id ?? -1n
      const of = groups.get(id) ?? [[]]
      groups.set(id, of)
      if (of.at(-1)!.length === BATCH_KEYS_MAX) of.push([])
      of.at(-1)!.push(wire)
    }
    return [...groups.values()].flat()
  }
}
