/** A log that is written to outside of any job and its transactions. */
import type { TopicRecord } from '@weir/model'

export interface DurableLog {
  /**
   * Resolves when every record is durable and seen by readers, in this order per partition. Throws `UNKNOWN_TOPIC`,
   * `RECORD_TOO_LARGE` (invalid): none is there. Thrown with kind `retry`, nobody knows which of them are.
   */
  append(topic: string, records: readonly TopicRecord[]): Promise<void>
  close(): Promise<void>
}
