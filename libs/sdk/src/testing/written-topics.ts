/** What a job under test has written: topics with transactions, as a broker keeps them. They outlive its attempts. */
import type { AsideRecord, TopicRecord } from '@weir/model'

export interface Transaction {
  state: 'open' | 'prepared' | 'committed' | 'aborted'
  readonly sequence: number
}
interface Written {
  readonly record: TopicRecord
  readonly transaction: Transaction
}

export class WrittenTopics {
  readonly #topics = new Map<string, Written[]>()
  /** By sink subtask: what is open or prepared. */
  readonly #pending = new Map<string, Transaction[]>()

  begin(owner: string, sequence: number): Transaction {
    const transaction: Transaction = { state: 'open', sequence }
    this.#pending.set(owner, [...this.#of(owner), transaction])
    return transaction
  }

  append(topic: string, record: TopicRecord | AsideRecord, transaction: Transaction): void {
    let written = this.#topics.get(topic)
    if (written === undefined) this.#topics.set(topic, (written = []))
    written.push({ record, transaction })
  }

  commit(owner: string, upTo: number): void {
    this.#end(owner, ({ state, sequence }) => (state === 'prepared' && sequence <= upTo ? 'committed' : null))
  }

  /** What a recovery does: the epoch's own are committed, the others aborted. */
  resolve(owner: string, prepared: ReadonlySet<number>): void {
    this.#end(owner, ({ state, sequence }) =>
      state === 'prepared' && prepared.has(sequence) ? 'committed' : 'aborted',
    )
  }

  read(topic: string, isolation: 'read_committed' | 'read_uncommitted'): readonly TopicRecord[] {
    const written = this.#topics.get(topic) ?? []
    const isVisible = ({ state }: Transaction): boolean =>
      isolation === 'read_committed' ? state === 'committed' : state !== 'aborted'
    return written.filter(({ transaction }) => isVisible(transaction)).map(({ record }) => record)
  }

  /** By topic: how many records were written and not aborted. */
  counts(): readonly (readonly [topic: string, records: number])[] {
    return [...this.#topics.keys()].map((topic) => [topic, this.read(topic, 'read_uncommitted').length] as const)
  }

  #of(owner: string): readonly Transaction[] {
    return this.#pending.get(owner) ?? []
  }

  #end(owner: string, outcomeOf: (transaction: Transaction) => 'committed' | 'aborted' | null): void {
    const left = this.#of(owner).filter((transaction) => {
      const outcome = outcomeOf(transaction)
      if (outcome !== null) transaction.state = outcome
      return outcome === null
    })
    this.#pending.set(owner, left)
  }
}
