/** Transactions at the brokers, seen from outside: each coordinator is asked for its own. */
import type { ListedTransaction, TransactionJanitor, TransactionName } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import type { KafkaConnections } from './connections.ts'
import { describeTransactions, endTxn, listTransactions } from './wire/apis.ts'
import { errorName, verdictOf } from './wire/errors.ts'

/** States of a transaction that has not ended. PrepareEpochFence: an abort for a new holder of the id. */
const UNENDED: Readonly<Record<string, ListedTransaction['state']>> = {
  Ongoing: 'open',
  PrepareCommit: 'committing',
  PrepareAbort: 'aborting',
  PrepareEpochFence: 'aborting',
}
/** More at one time are more than a person or a reaper can use. */
const LISTED_MAX = 10_000
const DESCRIBED_AT_ONCE = 500
const TRANSACTIONAL_ID_NOT_FOUND = 105

export class KafkaJanitor implements TransactionJanitor {
  readonly #kafka: KafkaConnections
  readonly #signal: AbortSignal

  /** `signal` ends every wait. The connections are closed with the janitor. */
  constructor(kafka: KafkaConnections, signal: AbortSignal) {
    this.#kafka = kafka
    this.#signal = signal
  }

  async list(prefix: string): Promise<readonly ListedTransaction[]> {
    const answers = await this.#kafka.everyBroker(listTransactions(Object.keys(UNENDED)), this.#signal)
    for (const { nodeId, answer } of answers)
      if (answer.errorCode !== 0) throw refused('ListTransactions', answer.errorCode, `broker ${nodeId}`)
    const found = answers.flatMap(({ nodeId, answer }) =>
      answer.transactions
        .map((t) => t.transactionalId)
        .filter((id) => id.startsWith(prefix))
        .map((id) => ({ nodeId, id })),
    )
    if (found.length > LISTED_MAX) {
      throw new WeirError(
        { code: 'TRANSACTIONS_TOO_MANY', kind: 'invalid', found: found.length, prefix },
        `${found.length} transactions under "${prefix}" have not ended, at most ${LISTED_MAX} are listed: ask for one job`,
      )
    }
    const listed: ListedTransaction[] = []
    for (const nodeId of new Set(found.map((f) => f.nodeId))) {
      const ids = found.filter((f) => f.nodeId === nodeId).map((f) => f.id)
      for (let i = 0; i < ids.length; i += DESCRIBED_AT_ONCE)
        listed.push(...(await this.#describe(nodeId, ids.slice(i, i + DESCRIBED_AT_ONCE))))
    }
    return listed
  }

  async end(
    { transactionalId: id, ...of }: TransactionName,
    decision: 'commit' | 'abort',
  ): Promise<'done' | 'refused'> {
    const identity = { producerId: BigInt(of.producerId), producerEpoch: of.producerEpoch }
    const protocol = await this.#kafka.transactionProtocol()
    const api = endTxn(protocol, id, identity, decision === 'commit')
    const { errorCode } = await this.#kafka.toTransaction(id, api, this.#signal)
    if (errorCode === 0) return 'done'
    if (verdictOf(errorCode) === 'refused') return 'refused'
    throw refused('EndTxn', errorCode, id)
  }

  close(): Promise<void> {
    return this.#kafka.close()
  }

  async #describe(nodeId: string, ids: readonly string[]): Promise<readonly ListedTransaction[]> {
    const { transactions } = await this.#kafka.toNode(nodeId, describeTransactions(ids), this.#signal)
    return transactions.flatMap((t): ListedTransaction[] => {
      const state = UNENDED[t.state]
      // Ended since it was listed.
      if (t.errorCode === TRANSACTIONAL_ID_NOT_FOUND || (t.errorCode === 0 && state === undefined)) return []
      if (state === undefined) throw refused('DescribeTransactions', t.errorCode, t.transactionalId)
      const { transactionalId, producerEpoch, timeoutMs } = t
      const startedAt = t.startedAt < 0n ? null : Number(t.startedAt)
      const producerId = String(t.producerId)
      return [{ transactionalId, producerId, producerEpoch, state, startedAt, timeoutMs, partitions: t.partitions }]
    })
  }
}

const refused = (request: string, code: number, what: string): WeirError =>
  new WeirError(
    { code: 'KAFKA_REFUSED', kind: 'retry', request, error: errorName(code), what },
    `${request} of ${what}: ${errorName(code)}`,
  )
