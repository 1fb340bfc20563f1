/** Written records as a consumer reads them. */
import type { Decode } from '@weir/dataflow'
import type { TopicRecord } from '@weir/model'
import { json } from '../codecs/json.ts'

/** A record of an output topic: `toEqual({ key, value })`. */
export interface Output<V = unknown> {
  /** As text; null: the record has none. */
  readonly key: string | null
  /** Null is a tombstone. */
  readonly value: V
}

const decodeJson = json().decode

export const outputsOf = <V>(records: readonly TopicRecord[], decode: Decode | null): readonly Output<V>[] =>
  records.map(({ key, value, headers }) => ({
    key: key === null ? null : Buffer.from(key).toString(),
    value: (value === null ? null : (decode ?? decodeJson)(Buffer.from(value), 0, value.length, () => headers)) as V,
  }))
