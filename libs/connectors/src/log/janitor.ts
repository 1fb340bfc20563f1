/** Transactions of the embedded log, seen from outside. */
import type { ListedTransaction, TransactionJanitor, TransactionName } from '@weir/dataflow'
import { isRefusal, type TransactionalLog } from './port.ts'

export class LogJanitor implements TransactionJanitor {
  readonly #log: Pick<TransactionalLog, 'transactions' | 'end'> & { close?(): void }

  /** The log's client is closed with the janitor. */
  constructor(log: Pick<TransactionalLog, 'transactions' | 'end'> & { close?(): void }) {
    this.#log = log
  }

  async list(prefix: string): Promise<readonly ListedTransaction[]> {
    const open = await this.#log.transactions(prefix)
    return open.map((t) => ({ ...t, state: 'open', startedAt: null }))
  }

  async end(transaction: TransactionName, decision: 'commit' | 'abort'): Promise<'done' | 'refused'> {
    try {
      await this.#log.end(transaction, decision === 'commit')
      return 'done'
    } catch (error) {
      if (isRefusal(error)) return 'refused'
      throw error
    }
  }

  close(): Promise<void> {
    this.#log.close?.()
    return Promise.resolve()
  }
}
