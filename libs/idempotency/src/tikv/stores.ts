/** Where stores listen, and which of them could not be reached just now. */
import type { Clock } from '@weir/model'
import type { PlacementDriver, StoreAddress } from './placement-driver.ts'

/** So long another peer is asked first; then the store gets a chance again. */
const UNREACHABLE_MS = 1_000

export class Stores {
  readonly #pd: PlacementDriver
  readonly #clock: Clock
  readonly #addresses = new Map<bigint, string>()
  readonly #unreachableUntil = new Map<bigint, number>()

  constructor(deps: { readonly pd: PlacementDriver; readonly clock: Clock }) {
    this.#pd = deps.pd
    this.#clock = deps.clock
  }

  async address(id: bigint, deadline: number, signal: AbortSignal): Promise<StoreAddress> {
    const known = this.#addresses.get(id)
    if (known !== undefined) return { address: known, gone: false }
    const store = await this.#pd.store(id, deadline, signal)
    if (!store.gone) this.#addresses.set(id, store.address)
    return store
  }

  isUnreachable = (id: bigint): boolean => (this.#unreachableUntil.get(id) ?? 0) > this.#clock.monotonic()

  /** It may have come up again elsewhere: its address is asked anew. */
  markUnreachable(id: bigint): void {
    this.#unreachableUntil.set(id, this.#clock.monotonic() + UNREACHABLE_MS)
    this.#addresses.delete(id)
  }

  /** Another peer has named it as leader: it is asked again, whatever we have seen of it. */
  markReachable(id: bigint): void {
    this.#unreachableUntil.delete(id)
  }

  /** The store at this address is another one, or is no more. */
  drop(id: bigint): void {
    this.#addresses.delete(id)
    this.#unreachableUntil.delete(id)
  }
}
