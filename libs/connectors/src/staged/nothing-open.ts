/** The janitor of destinations whose output is staged: nothing is open there, so there is nothing to end. */
import type { TransactionJanitor } from '@weir/dataflow'

export class NothingOpen implements TransactionJanitor {
  list(): Promise<readonly never[]> {
    return Promise.resolve([])
  }

  end(): Promise<'refused'> {
    return Promise.resolve('refused')
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
