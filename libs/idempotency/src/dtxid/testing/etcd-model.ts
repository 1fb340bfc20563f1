/** What etcd does with the keys of worker ids, in the time of a simulation. Leases end on the ms. */
import type { Extended } from '../generator.ts'
import type { Holder, Mark } from '../worker-lease.ts'

export class EtcdModel {
  readonly #ttlMs: number
  readonly #holders = new Map<number, Holder & { until: number }>()
  readonly #marks = new Map<number, Mark>()
  #revision = 0

  constructor(ttlMs: number) {
    this.#ttlMs = ttlMs
  }

  holds(now: number, holder: Holder | null): boolean {
    return holder !== null && this.#alive(now, holder.worker)?.nonce === holder.nonce
  }

  mark(worker: number): number {
    return this.#marks.get(worker)?.value ?? 0
  }

  list(now: number): { taken: Set<number>; marks: Map<number, number> } {
    const taken = new Set([...this.#holders.keys()].filter((worker) => this.#alive(now, worker) !== null))
    return { taken, marks: new Map([...this.#marks].map(([worker, mark]) => [worker, mark.value])) }
  }

  claim(now: number, worker: number, nonce: string): { holder: Holder; mark: Mark } | null {
    if (this.#alive(now, worker) !== null) return null
    const holder = { worker, nonce, leaseId: nonce, revision: String(++this.#revision) }
    this.#holders.set(worker, { ...holder, until: now + this.#ttlMs })
    return { holder, mark: this.#marks.get(worker) ?? { value: 0, revision: null } }
  }

  renew(now: number, holder: Holder): boolean {
    const held = this.#alive(now, holder.worker)
    if (held?.nonce !== holder.nonce) return false
    held.until = now + this.#ttlMs
    return true
  }

  extend(now: number, holder: Holder, value: number, over: string | null): Extended {
    if (!this.holds(now, holder)) return { kind: 'gone' }
    const there = this.#marks.get(holder.worker) ?? { value: 0, revision: null }
    if (there.revision !== over) return { kind: 'moved', mark: there }
    const mark = { value, revision: String(++this.#revision) }
    this.#marks.set(holder.worker, mark)
    return { kind: 'extended', mark }
  }

  giveBack(now: number, holder: Holder): void {
    if (this.holds(now, holder)) this.#holders.delete(holder.worker)
  }

  #alive(now: number, worker: number): (Holder & { until: number }) | null {
    const held = this.#holders.get(worker)
    return held !== undefined && held.until > now ? held : null
  }
}
