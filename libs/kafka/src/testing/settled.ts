/** EndTxn answers before its control records are in the log: who judges right after a commit waits for them first. */
import { systemClock } from '@weir/runtime/system'
import type { KafkaConnections } from '../connections.ts'
import { listTransactions } from '../wire/apis.ts'

const ENDING = ['PrepareCommit', 'PrepareAbort']
const POLL_MS = 10

/** Resolves when no transaction whose id contains `part` is between its EndTxn and its control records. */
export async function settled(kafka: KafkaConnections, part: string): Promise<void> {
  for (;;) {
    const { transactions } = await kafka.anyBroker(listTransactions())
    if (!transactions.some((t) => t.transactionalId.includes(part) && ENDING.includes(t.state))) return
    await systemClock.sleep(POLL_MS)
  }
}
