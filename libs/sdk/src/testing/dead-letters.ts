/** Dead letters as a test looks at them. */
import { DEAD } from '@weir/dataflow'
import type { TopicRecord } from '@weir/model'

export interface DeadLetter {
  /** Where the record failed. */
  readonly operator: string
  /** Its code. */
  readonly error: string
  readonly message: string
  /** As the record was read; of a result the job has made itself, as JSON. Null: it has none. */
  readonly key: string | null
  readonly value: string | null
  /** Where it was read; null: the job has made it itself. */
  readonly origin: { readonly topic: string; readonly partition: number; readonly offset: number } | null
}

export const lettersOf = (records: readonly TopicRecord[]): readonly DeadLetter[] =>
  records.map(({ key, value, headers }) => {
    const said = new Map(headers.map(([name, of]) => [name, textOf(of)]))
    const fact = (name: string): string => said.get(DEAD + name) ?? ''
    const offset = said.get(`${DEAD}offset`)
    const from = { topic: fact('topic'), partition: Number(fact('partition')), offset: Number(offset) }
    return {
      ...{ operator: fact('operator'), error: fact('error'), message: fact('message') },
      ...{ key: textOf(key), value: textOf(value) },
      origin: offset === undefined ? null : from,
    }
  })

const textOf = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString())
