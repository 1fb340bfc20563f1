/** Collects what comes to an end of the flow: as the `out` of a process that is tested alone, or as the sink of a stream. */
import type { ConnectorDescriptor, Out } from '@weir/dataflow'
import { encodeJson } from '../codecs/json.ts'
import type { Sink } from '../connectors.ts'

/**
 *     const out = new Catch<Alert>()
 *     limits.onRecord(context, payment, out)      // out.caught
 *     alerts.to(new Catch<Alert>('alerts'))       // in a job under test: t.output('alerts'), and caught
 *
 * `caught` holds values as they were emitted. As a sink it also catches what a restart writes again: what is there once is
 * the job's `output`.
 */
export class Catch<T> implements Out<T>, Sink<T> {
  readonly caught: T[] = []
  readonly descriptor: ConnectorDescriptor

  constructor(name = 'caught') {
    this.descriptor = { connector: 'test', topic: name }
  }

  emit(value: T, _timestamp?: number): void {
    this.caught.push(value)
  }

  readonly encodeKey = (key: unknown): string | null => (key === null ? null : String(key))

  readonly encodeValue = (value: T): string | null => {
    const text = encodeJson(value)
    this.caught.push(value)
    return text
  }
}
