/** `weir txn`: the transaction ledger for people. */
import type { jobs } from '@weir/proto'
import type { JobsClient } from '@weir/wire'
import { needed, usage } from './usage.ts'

export async function txn(
  client: JobsClient,
  { verb, object }: { readonly verb: string | undefined; readonly object: string | undefined },
  print: (value: unknown, text: string) => void,
): Promise<number> {
  switch (verb) {
    case 'list': {
      const transactions = await client.listTransactions(object ?? null)
      print(transactions, transactions.map(line).join('\n') || 'no transactions')
      return 0
    }
    case 'commit':
    case 'abort': {
      const done = await client.decideTransaction(needed(object, 'TXN-ID'), verb)
      print(done, `${done.transactionalId} is ${verb === 'commit' ? 'committed' : 'aborted'}`)
      return 0
    }
    default:
      throw usage(verb === undefined ? 'txn needs list, commit or abort' : `there is no command "txn ${verb}"`)
  }
}

/** id, state, what is known of it. */
function line(t: jobs.TransactionView): string {
  const server = t.atServer === undefined ? 'ended at the server' : `${t.atServer} at the server`
  const facts = [
    t.epoch === undefined ? null : `epoch ${t.epoch}`,
    t.sequence === undefined ? null : `transaction ${t.sequence}`,
    t.records === undefined ? null : `${t.records} records`,
    t.startedAt === undefined ? null : `since ${new Date(t.startedAt).toISOString()}`,
    t.partitions.length === 0 ? null : `in ${t.partitions.join(' ')}`,
  ]
  return [t.transactionalId, t.state, server, ...facts.filter((f) => f !== null)].join('\t')
}
