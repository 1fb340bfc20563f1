/**
 * The cut through one stage at a barrier that may overtake: what it received and had not processed, and what it had sent
 * that was not on the wire. Whole when its own barrier is on every wire and the gate has captured the rest.
 */
import type { InFlightRef, InFlightStore } from '@weir/checkpoint'
import { type CheckpointId, type Subtask } from '@weir/model'
import type { Capture } from './capture.ts'
import { Flight } from './flight.ts'
import type { Outlet } from './outlet.ts'

export interface StageCutOptions {
  readonly checkpoint: CheckpointId
  readonly stage: number
  readonly subtask: Subtask
  readonly parallelism: number
  /** What the stage sends on; the barrier is in them already. */
  readonly outputs: readonly Outlet[]
  /** More than that is not overtaken. */
  readonly bytesMax: number
  /** Null: what is in front of the barrier has been processed. */
  readonly overtaken: Capture | null
}

export class StageCut {
  readonly #options: StageCutOptions
  readonly #outputs: readonly Outlet[]
  /** Null: nothing was overtaken. */
  #unsent: Flight | null = null
  #hasOvertaken = false
  readonly #sent: Promise<void>
  #resolve: () => void = () => {}

  constructor(options: StageCutOptions) {
    this.#options = options
    this.#outputs = options.outputs.filter(({ overtaking }) => overtaking)
    this.#sent = new Promise((resolve) => {
      this.#resolve = resolve
    })
    this.barrierSent()
  }

  /** Barriers that still wait go in front of what does, unless that is too much to be stored. */
  overtake(): void {
    if (this.#hasOvertaken) return
    this.#hasOvertaken = true
    const { checkpoint, subtask } = this.#options
    const waiting = this.#outputs.flatMap((output) =>
      [...output.inFrontOf(checkpoint)].flatMap(([to, elements]) =>
        elements.map((element) => {
          return { name: { stage: output.stage, input: output.input, from: subtask, to }, element }
        }),
      ),
    )
    const trial = new Flight(this.#options.bytesMax)
    if (!waiting.every(({ name, element }) => trial.add(name, element, null))) return
    this.#unsent = trial
    for (const output of this.#outputs) output.overtake(checkpoint)
  }

  /** Resolves when the cut is whole and what it holds is durable. `isNeeded` false: the epoch was given up. */
  async stored(store: InFlightStore, isNeeded: () => boolean): Promise<readonly InFlightRef[]> {
    const [received] = await Promise.all([this.#options.overtaken?.whole, this.#sent])
    if (!isNeeded()) return []
    const parts = [
      { side: 'received' as const, flight: received ?? null },
      { side: 'unsent' as const, flight: this.#unsent },
    ]
    const { checkpoint, stage, subtask, parallelism } = this.#options
    return Promise.all(
      parts.flatMap(({ side, flight }) => {
        if (flight === null || flight.isEmpty) return []
        const written = store.write(checkpoint, { stage, side }, flight.encode())
        const facts = { subtask, parallelism, records: flight.records, hasUnsent: side === 'unsent' }
        return [written.then((object) => ({ ...object, ...facts }))]
      }),
    )
  }

  /** Some barrier of this epoch is on its way. */
  barrierSent(): void {
    const { checkpoint } = this.#options
    if (this.#outputs.every((output) => output.inFrontOf(checkpoint).size === 0)) this.#resolve()
  }
}
