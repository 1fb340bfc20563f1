/**
 * What time it is for the fleet: the job-manager's clock, carried on by our own monotonic one between two answers. Pure.
 *
 * An answer is as good as half its way there and back (Cristian); it gets worse while it ages, as two clocks never run alike.
 *
 * The fleet decides, but not alone: an answer far from what is known and from the wall clock too is not followed. One job-manager
 * whose clock stands a year ahead would otherwise take every generator there for good, since ids never go back.
 */

/** ms; `sentAt`, `receivedAt` by our monotonic clock, `fleetNow` since 1970. */
export interface TimeAnswer {
  readonly sentAt: number
  readonly receivedAt: number
  readonly fleetNow: number
}

export interface FleetTime {
  /** Fleet's clock − our monotonic clock, ms. */
  readonly offset: number
  /** At `at`, ±ms. */
  readonly error: number
  /** Monotonic ms. */
  readonly at: number
}

/** Half of a way longer than that says too little against the 50 ms that are allowed. */
export const ANSWER_ERROR_MS_MAX = 20
/** Two clocks run apart by at most this (200 ppm). */
const RATE = 200e-6
/** Without an answer for longer nothing is known. */
export const FLEET_SILENT_MS_MAX = 120_000
/** Farther than this from what is known an answer needs the wall clock as a second witness: what a wrong job-manager costs at most. */
export const UNWITNESSED_MS_MAX = 24 * 3_600_000

const errorAt = (time: FleetTime, monotonic: number): number => time.error + (monotonic - time.at) * RATE

export type Heard =
  | { readonly kind: 'followed'; readonly time: FleetTime }
  /** It came too slowly, or what is known is better: nothing changes but that the fleet is not silent. */
  | { readonly kind: 'confirmed'; readonly time: FleetTime }
  | { readonly kind: 'too-slow' }
  /** By how many ms it is off. */
  | { readonly kind: 'unwitnessed'; readonly byMs: number }

/** `known` null: the first answer. `wall`: the wall clock at `receivedAt`, as it stands corrected. */
export function hear(known: FleetTime | null, answer: TimeAnswer, wall: number): Heard {
  const { sentAt, receivedAt, fleetNow } = answer
  const error = (receivedAt - sentAt) / 2
  if (error > ANSWER_ERROR_MS_MAX) return { kind: 'too-slow' }
  const time = { offset: fleetNow - (sentAt + receivedAt) / 2, error, at: receivedAt }
  const byWall = time.offset + receivedAt - wall
  if (known === null) {
    return Math.abs(byWall) > UNWITNESSED_MS_MAX ? { kind: 'unwitnessed', byMs: byWall } : { kind: 'followed', time }
  }
  const apart = time.offset - known.offset
  if (Math.min(Math.abs(apart), Math.abs(byWall)) > UNWITNESSED_MS_MAX) return { kind: 'unwitnessed', byMs: apart }
  const aged = errorAt(known, receivedAt)
  // They contradict each other (another leader, a machine that was suspended): the newer one is right.
  if (error <= aged || Math.abs(apart) > error + aged) return { kind: 'followed', time }
  return { kind: 'confirmed', time: { ...known, error: aged, at: receivedAt } }
}
