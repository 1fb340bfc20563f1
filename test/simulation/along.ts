/**
 * Judges that look on while it happens: what they see is gone, or made good, when the job has ended.
 *
 *   Order   the transactions of a sink subtask are committed one by one in the order of their sequences (PROTOCOL A10)
 *   Final   an epoch is published when all output of the one below it is committed, and called final when its own is (A15)
 *   Staged  published output that is not committed yet is there to be healed from (A16, A22)
 */
import type { Head, Manifest, ManifestRef, SubtaskSnapshot } from '@weir/checkpoint'
import { poolGroup, type PreparedHandle, type SinkState } from '@weir/dataflow'
import type { Fleet } from './fleet.ts'
import type { TransactionRecord } from './kafka.ts'

interface Due {
  readonly group: string
  readonly sequence: number
  readonly staged: readonly string[]
}

export class Onlooker {
  readonly #fleet: Fleet
  /** By digest of the manifest. */
  readonly #published = new Map<string, readonly Due[]>()
  /** By group: the highest sequence that is committed. */
  readonly #committed = new Map<string, number>()
  readonly #ofEpoch = new Map<number, readonly Due[]>()

  constructor(fleet: Fleet) {
    this.#fleet = fleet
    fleet.etcd.onPut = (key, value) => {
      if (key.includes('/heads/')) this.#publish(JSON.parse(value) as ManifestRef)
    }
    fleet.s3.onHead = (body) => {
      const { manifest } = JSON.parse(body) as Head
      if (manifest !== null) this.#publish(manifest)
    }
    fleet.s3.onDelete = (key) => this.#delete(key)
    fleet.onFinal = (epoch) => this.#final(epoch)
  }

  commit({ transactionalId, pid, epoch, marks }: TransactionRecord): void {
    for (const { group, offset } of marks) {
      const before = this.#committed.get(group) ?? 0
      // 0: the marker of a sink that has written nothing yet (A14).
      if (offset !== before + 1 && (offset > 0 || before > 0))
        this.#found('Order', `${group}: ${offset} is committed behind ${before} by ${transactionalId} ${pid}/${epoch}`)
      this.#committed.set(group, Math.max(before, offset))
    }
  }

  #publish(ref: ManifestRef): void {
    if (this.#published.has(ref.digest)) return
    const object = this.#fleet.s3.get(ref.key)
    if (object === null) return this.#found('Final', `${ref.key} is published and was never stored`)
    const manifest = JSON.parse(Buffer.from(object.bytes).toString('utf8')) as Manifest
    const due = dueOf(manifest)
    this.#published.set(ref.digest, due)
    this.#ofEpoch.set(ref.epoch, due)
    const below = manifest.parentDigest === null ? [] : (this.#published.get(manifest.parentDigest) ?? [])
    for (const { group, sequence } of below.filter((d) => this.#isOpen(d)))
      this.#found('Final', `epoch ${ref.epoch} is published and ${group} ${sequence} of the one below is not committed`)
    for (const { group, sequence, staged } of due.filter((d) => this.#isOpen(d)))
      for (const key of staged)
        if (this.#fleet.s3.get(key) === null)
          this.#found('Staged', `${group} ${sequence} is published without its staged output ${key}`)
  }

  #final(epoch: number): void {
    for (const { group, sequence } of (this.#ofEpoch.get(epoch) ?? []).filter((d) => this.#isOpen(d)))
      this.#found('Final', `epoch ${epoch} is called final and ${group} ${sequence} of it is not committed`)
  }

  #delete(key: string): void {
    if (!key.includes('/staged/')) return
    for (const due of this.#published.values())
      for (const { group, sequence } of due.filter((d) => this.#isOpen(d) && d.staged.includes(key)))
        this.#found('Staged', `${key} is deleted and ${group} ${sequence} is not committed`)
  }

  #isOpen({ group, sequence }: Due): boolean {
    return sequence > (this.#committed.get(group) ?? 0)
  }

  #found(judge: string, what: string): void {
    this.#fleet.world.found(judge, what)
  }
}

/** Those of the subtask, and of those that are no more and in its care. */
export const sinksOf = ({
  subtask,
  sinks,
  retired = {},
}: SubtaskSnapshot): readonly { readonly subtask: number; readonly sinks: SubtaskSnapshot['sinks'] }[] => [
  { subtask, sinks },
  ...Object.entries(retired).map(([of, theirs]) => ({ subtask: Number(of), sinks: theirs })),
]

const dueOf = ({ jobId, subtasks }: Manifest): Due[] =>
  subtasks.flatMap(sinksOf).flatMap(({ subtask, sinks }) =>
    Object.entries(sinks).flatMap(([sink, state]) =>
      ((state as SinkState).handles as readonly PreparedHandle[]).map(({ sequence, staged }) => ({
        group: poolGroup(jobId, sink, subtask),
        sequence,
        staged: staged?.parts.map(({ key }) => key) ?? [],
      })),
    ),
  )
