/** Barriers that were asked for: a source puts each between two of its batches, once. */
import type { Epoch } from '@weir/model'
import type { Participation } from './participation.ts'
import type { SourceRun, StageRun } from './stage-run.ts'

/** Epochs that are remembered; triggers of older ones are gone. */
const INJECTED_MAX = 16

export class SourceBarriers {
  readonly #run: StageRun
  readonly #cutting: SourceRun['cutting']
  readonly #participation: Participation
  readonly #injected = new Set<Epoch>()
  #haltedAt: Epoch | null = null

  constructor(run: StageRun, { cutting }: SourceRun, participation: Participation) {
    this.#run = run
    this.#cutting = cutting
    this.#participation = participation
  }

  /** Nothing is read behind the last barrier. */
  get isHalted(): boolean {
    return this.#haltedAt !== null && this.#haltedAt === this.#participation.lastEpoch
  }

  get isDue(): boolean {
    const isNew = ({ checkpoint }: { checkpoint: { epoch: Epoch } }): boolean => !this.#injected.has(checkpoint.epoch)
    return Boolean(this.#cutting?.due) || this.#participation.triggers.some(isNew)
  }

  readonly inject = (): void => {
    const participation = this.#participation
    for (const { checkpoint, cut } of participation.triggers) {
      if (this.#injected.has(checkpoint.epoch)) continue
      this.#injected.add(checkpoint.epoch)
      if (checkpoint.epoch === participation.lastEpoch) this.#haltedAt = checkpoint.epoch
      if (this.#injected.size > INJECTED_MAX) this.#injected.delete(this.#injected.values().next().value!)
      if (cut.mode === 'watermark' && this.#cutting) this.#cutting.ask({ checkpoint, time: cut.time })
      else participation.snapshot(this.#run, checkpoint, { alignMs: 0, overtaken: null })
    }
    const due = this.#cutting?.due
    if (!due) return
    participation.snapshot(this.#run, due.checkpoint, { alignMs: 0, overtaken: null, exceptions: due })
    this.#cutting!.injected()
  }
}
