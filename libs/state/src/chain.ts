/**
 * What a store is restored from: a base and the deltas after it. A chain that has grown too long is *folded*: a new base is
 * written while the next barriers go on adding deltas, and takes the place of what it covers when it is stored.
 */
import type { SegmentRef } from '@weir/dataflow'
import { ChainVersions } from './chain-versions.ts'
import type { RowCounts } from './place.ts'
import type { Versions } from './segment.ts'

export interface ChainOptions {
  /** Which subtask of how many: versions are counted by it. */
  readonly writer: string
  /** Segments in a chain before it is folded. At four times as many, snapshots wait for the folding. */
  readonly chainLengthMax: number
  /** Bytes of the deltas over bytes of the base before a chain is folded. */
  readonly chainRatioMax: number
}

const CHAIN_LENGTH_HARD = 4
/** Of all rows, changed in an epoch: it is stored as a base, which costs little more. */
const MOST = 0.8
/** The same, where a folding would be due behind its delta: the base takes the place of both. */
const MANY = 0.5
/** Of what a chain may have in deltas, by rows: of bytes it may be a little more. */
const NEARLY = 0.9

export class Chain {
  readonly versions = new ChainVersions()
  readonly #options: ChainOptions
  #refs: readonly SegmentRef[] = []
  /** An upload failed, or values were migrated: the rows are ahead of the chain, so the next segment is a base. */
  #baseNeeded = false
  #folding: Promise<void> | null = null
  #foldFailure: unknown = null

  constructor(options: ChainOptions) {
    this.#options = options
  }

  get refs(): readonly SegmentRef[] {
    return this.#refs
  }

  get #mustBegin(): boolean {
    return this.#baseNeeded || this.#refs.length === 0
  }

  /** An epoch without a change is the one before. */
  isCurrent(changed: ReadonlySet<string>): boolean {
    return changed.size === 0 && !this.#baseNeeded
  }

  restored(refs: readonly SegmentRef[]): void {
    this.#refs = refs
  }

  needBase(): void {
    this.#baseNeeded = true
  }

  /** Appends what `write` stores: a delta, or a base where one is needed or is worth it. Where that fails the next segment is a base. */
  async append(
    changed: ReadonlySet<string>,
    rows: RowCounts | null,
    write: (kind: SegmentRef['kind'], versions: Versions, from: Versions) => Promise<SegmentRef>,
  ): Promise<readonly SegmentRef[]> {
    const base = this.#mustBegin || (rows !== null && this.#isBaseWorthIt(rows))
    this.#baseNeeded = true // until the segment is there
    if (!base) await this.#room()
    const { writer } = this.#options
    const from = new Map(this.versions.of(writer))
    const to = new Map([...changed].map((uid) => [uid, (from.get(uid) ?? 0) + 1]))
    const all = new Map([...from, ...to])
    const ref = base ? await write('base', all, new Map()) : await write('delta', to, from)
    this.versions.set(writer, all)
    this.#baseNeeded = false
    this.#refs = base ? [ref] : [...this.#refs, ref]
    return this.#refs
  }

  /** To be asked where the rows are exactly what the chain restores. */
  get isFoldDue(): boolean {
    const [base, ...deltas] = this.#refs
    if (base === undefined || deltas.length === 0 || this.#folding !== null) return false
    const { chainLengthMax, chainRatioMax } = this.#options
    const bytes = deltas.reduce((all, { bytes: b }) => all + b, 0)
    return this.#refs.length > chainLengthMax || bytes > base.bytes * chainRatioMax
  }

  /** `write` stores a base of what the chain restores now. */
  fold(write: (versions: Versions) => Promise<SegmentRef>): void {
    const covered = this.#refs
    this.#folding = write(new Map(this.versions.of(this.#options.writer)))
      .then((folded) => {
        this.#foldFailure = null
        // Else a base was written meanwhile, in the place of a delta or after a failed upload: this one is left to the collection of orphans.
        const continued = covered.every((ref, i) => this.#refs[i] === ref)
        if (continued) this.#refs = [folded, ...this.#refs.slice(covered.length)]
      })
      .catch((error: unknown) => void (this.#foldFailure = error)) // tried again after the next snapshot
      .finally(() => (this.#folding = null))
  }

  /** Resolves when nothing is being folded any more. */
  async folded(): Promise<void> {
    await this.#folding
  }

  #isBaseWorthIt({ all, changed }: RowCounts): boolean {
    const [base, ...deltas] = this.#refs
    const inDeltas = deltas.reduce((sum, { entries }) => sum + entries, changed)
    const { chainLengthMax, chainRatioMax } = this.#options
    const isFoldNear = this.#refs.length >= chainLengthMax || inDeltas >= base!.entries * chainRatioMax * NEARLY
    return changed >= all * (isFoldNear ? MANY : MOST)
  }

  /** Waits while folding is far behind. A chain that cannot be folded declines epochs rather than grow without end. */
  async #room(): Promise<void> {
    if (this.#refs.length < this.#options.chainLengthMax * CHAIN_LENGTH_HARD) return
    await this.#folding
    if (this.#refs.length < this.#options.chainLengthMax * CHAIN_LENGTH_HARD) return
    if (this.#foldFailure !== null) throw this.#foldFailure
  }
}
