/**
 * Fencing: who was replaced changes nothing any more. Fed with what the deciding servers accepted, each server's acts in
 * the order it accepted them: an etcd history by revision, a partition's log by offset.
 */
import { Checker, type CheckerVerdict as Verdict } from '@weir/dataflow'

export type Act =
  /** A leader's generation was announced. */
  | { readonly act: 'lead'; readonly generation: number }
  /** An arbiter took this manifest for an epoch. `manifest` names it uniquely (its digest). */
  | {
      readonly act: 'publish'
      readonly arbiter: string
      readonly jobId: string
      readonly epoch: number
      readonly generation: number
      readonly manifest: string
    }
  /** A broker appended a batch or a control record of a transactional producer. */
  | { readonly act: 'append'; readonly partition: string; readonly producerId: string; readonly producerEpoch: number }

export class Fencing extends Checker {
  readonly name = 'Fencing'
  readonly #found: string[] = []
  #led = 0
  /** arbiter and job → the head there. */
  readonly #heads = new Map<string, { epoch: number; generation: number; manifest: string }>()
  /** job and epoch → manifest, over all arbiters. */
  readonly #manifests = new Map<string, string>()
  /** partition and producer id → highest producer epoch. */
  readonly #producers = new Map<string, number>()
  /** Acts fed so far: a history that stayed empty proves nothing. */
  acts = 0

  accepted(act: Act): void {
    this.acts++
    switch (act.act) {
      case 'lead':
        if (act.generation <= this.#led) this.#found.push(`generation ${act.generation} led after ${this.#led}`)
        this.#led = Math.max(this.#led, act.generation)
        return
      case 'publish':
        return this.#published(act)
      case 'append':
        return this.#appended(act)
    }
  }

  verdict(): Verdict {
    return this.judge(this.#found)
  }

  #published({ arbiter, jobId, epoch, generation, manifest }: Extract<Act, { act: 'publish' }>): void {
    const what = `${arbiter}: epoch ${epoch} of ${jobId} by generation ${generation}`
    const head = this.#heads.get(`${arbiter} ${jobId}`)
    if (head && epoch < head.epoch) this.#found.push(`${what} replaced epoch ${head.epoch}`)
    // The next leader may still have to write the last epoch of the one before it, and that one's generation is lower
    // than its own: but never lower than that of the epoch it follows.
    if (head && generation < head.generation) this.#found.push(`${what} came after generation ${head.generation}`)
    this.#heads.set(`${arbiter} ${jobId}`, { epoch, generation, manifest })
    const known = this.#manifests.get(`${jobId} ${epoch}`)
    if (known !== undefined && known !== manifest) this.#found.push(`${what}: two manifests, ${known} and ${manifest}`)
    this.#manifests.set(`${jobId} ${epoch}`, manifest)
  }

  #appended({ partition, producerId, producerEpoch }: Extract<Act, { act: 'append' }>): void {
    const key = `${partition} ${producerId}`
    const highest = this.#producers.get(key) ?? -1
    if (producerEpoch < highest)
      this.#found.push(`${partition}: producer ${producerId} wrote with epoch ${producerEpoch} after ${highest}`)
    this.#producers.set(key, Math.max(highest, producerEpoch))
  }
}
