/** Errors of user code name where their record was read, as far as it is known. */
import type { OriginNames, SourceBatch, SourceNode } from '@weir/dataflow'
import { WeirError } from '@weir/model'

/** Where batches carry it: the very record. */
export function withOrigin(error: WeirError, names: OriginNames): WeirError {
  const { place } = error.facts
  if (typeof place !== 'number') return error
  const { source, topic, partition } = names(place)
  const text = `${error.message} The record was read by source "${source}"${topic === null ? '' : ` from topic "${topic}"`}.`
  return new WeirError({ ...error.facts, source, topic, partition }, text, { cause: error.cause })
}

/** Where they do not, in the stage of a source: the batch it is one of. */
export function withBatch(thrown: unknown, node: SourceNode, polled: SourceBatch): unknown {
  if (!(thrown instanceof WeirError) || thrown.facts['operatorUid'] === undefined) return thrown
  if (thrown.facts['offset'] !== undefined) return thrown
  const offsets = polled.kind === 'raw' ? polled.raw.offsets : polled.offsets
  const count = polled.kind === 'raw' ? polled.raw.count : offsets.length
  const [first, last] = [offsets[0]!, offsets[count - 1]!]
  const topic = typeof node.descriptor['topic'] === 'string' ? node.descriptor['topic'] : null
  const text = `${thrown.message} The record is one of source "${node.uid}", partition ${polled.split}, offsets ${first} to ${last}.`
  const facts = { ...thrown.facts, source: node.uid, topic, partition: polled.split, offsets: [first, last] }
  return new WeirError(facts, text, { cause: thrown.cause })
}
