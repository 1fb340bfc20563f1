/** One attempt of a job: its slices, each told and heard; the test is its coordinator. */
import type { SubtaskSnapshot } from '@weir/checkpoint'
import { attempt, epoch, generation, subtask, type CheckpointId } from '@weir/model'
import type { Slice, SliceReport } from '@weir/runtime'

type Report<T extends SliceReport['type']> = Extract<SliceReport, { type: T }>

export class SliceAttempt {
  readonly slices: readonly Slice[]
  readonly #n: number
  readonly #reports: { readonly from: number; readonly report: SliceReport }[] = []
  #look: () => void = () => {}

  constructor(n: number, parallelism: number, slice: (i: number, report: (report: SliceReport) => void) => Slice) {
    this.#n = n
    this.slices = Array.from({ length: parallelism }, (_, i) =>
      slice(i, (report) => {
        this.#reports.push({ from: i, report })
        this.#look()
      }),
    )
  }

  async start(snapshots: readonly SubtaskSnapshot[] | null): Promise<void> {
    await Promise.all(this.slices.map((s, i) => s.recover(snapshots?.[i] ?? null)))
    const peers = this.slices.map((_, i) => ({ subtask: subtask(i), taskManagerId: 'tm', exchangeAddress: '' }))
    await Promise.all(this.slices.map((s) => s.run(peers)))
  }

  /** The newest such report of each slice, once all have one. Rejects when a slice fails. */
  all<T extends SliceReport['type']>(type: T, is: (report: Report<T>) => boolean = () => true): Promise<Report<T>[]> {
    return new Promise((resolve, reject) => {
      this.#look = () => {
        const failed = this.#reports.find((r) => r.report.type === 'failed')?.report as { error: Error } | undefined
        if (failed) return reject(failed.error)
        const matches = ({ report }: { report: SliceReport }): boolean =>
          report.type === type && is(report as Report<T>)
        const found = this.slices.map((_, i) => this.#reports.findLast((r) => r.from === i && matches(r))?.report)
        if (found.every((report) => report !== undefined)) resolve(found as Report<T>[])
      }
      this.#look()
    })
  }

  async checkpoint(n: number): Promise<SubtaskSnapshot[]> {
    const id: CheckpointId = { generation: generation(1), attempt: attempt(this.#n), epoch: epoch(n) }
    for (const slice of this.slices) slice.trigger(id)
    const acks = await this.all('ack', (report) => report.checkpoint.epoch === n)
    return JSON.parse(JSON.stringify(acks.map((ack) => ack.snapshot))) as SubtaskSnapshot[]
  }

  /** Everything of it vanishes; the broker hears nothing. */
  async vanish(): Promise<void> {
    await Promise.all(this.slices.map((s) => s.stop('leave')))
  }
}
