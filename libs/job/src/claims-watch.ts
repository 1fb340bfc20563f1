/** Which slices decide claims without their store: while there is one, the job is degraded. */
import type { ClaimsNews } from '@weir/dataflow'
import type { Alerts } from './alerts.ts'

export class ClaimsWatch {
  readonly #alerts: Alerts
  readonly #without = new Set<string>()
  #lost = 0

  constructor(alerts: Alerts) {
    this.#alerts = alerts
  }

  heard(operator: string, subtask: number, { is, why, claims }: ClaimsNews): void {
    const place = `${operator}/${subtask}`
    if (is === 'lost') {
      this.#lost += claims
      const text = `idempotent "${operator}": its store had forgotten claims it had acknowledged (${this.#lost} so far, which it has again): a fail-over?`
      return this.#alerts.raise('CLAIMS_LOST', text)
    }
    if (is === 'degraded') {
      this.#without.add(place)
      return this.#alerts.raise('CLAIMS_DEGRADED', `idempotent "${operator}" goes on without its store: ${why}`)
    }
    this.#without.delete(place)
    if (this.#without.size === 0) this.#alerts.calm('CLAIMS_DEGRADED')
  }

  /** A slice that begins again begins with its store. */
  begun(subtask: number): void {
    for (const place of this.#without) if (place.endsWith(`/${subtask}`)) this.#without.delete(place)
    if (this.#without.size === 0) this.#alerts.calm('CLAIMS_DEGRADED')
  }
}
