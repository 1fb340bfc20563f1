/** A sink that takes a batch when it is told to. */
import type { RecordBatch } from '@weir/model'
import { MemorySink } from './testing/index.ts'

export class StandingSink extends MemorySink {
  taken = 0
  isOpen = false
  #go: () => void = () => {}

  override write(batch: RecordBatch): undefined {
    super.write(batch)
    const taken = this.isOpen
      ? Promise.resolve()
      : new Promise<void>((resolve) => {
          const before = this.#go
          this.#go = () => {
            before()
            resolve()
          }
        })
    return taken.then(() => void (this.taken += batch.values.length)) as unknown as undefined
  }

  open(): void {
    this.isOpen = true
    this.#go()
  }
}
