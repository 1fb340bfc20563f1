/** A topic of the embedded log as an outsider reads it: committed records only, from the beginning to where it ends now. */
import type { ReadRecord, TransactionalLog } from '@weir/connectors'

const READ_RECORDS = 5_000

export async function readCommitted(log: TransactionalLog, topic: string): Promise<readonly ReadRecord[]> {
  const { endOffsets } = await log.describe(topic)
  const all: ReadRecord[] = []
  for (let partition = 0; partition < endOffsets.length; partition++) {
    for (let offset = 0; ;) {
      const request = { topic, partition, offset, maxRecords: READ_RECORDS, readCommitted: true, maxWaitMs: 0 }
      const { records, nextOffset } = await log.read(request)
      all.push(...records)
      if (nextOffset === offset) break
      offset = nextOffset
    }
  }
  return all
}
