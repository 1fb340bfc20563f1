/** Sources and sinks of a job by the name a test calls them. */
import type { Decode, JobDefinition, SourceNode } from '@weir/dataflow'
import { WeirError } from '@weir/model'
import { topicOf } from './fed-topic.ts'
import { outputOf } from './written-sink.ts'

/** By topic or uid. Throws `TEST_NAME_UNKNOWN` (invalid), naming those there are. */
export function sourceNamed({ graph, name: job }: JobDefinition, name: string): SourceNode {
  const sources = graph.nodes.filter((node) => node.kind === 'source')
  const found = sources.find((node) => topicOf(node) === name) ?? sources.find(({ uid }) => uid === name)
  if (found !== undefined) return found
  throw unknown(
    job,
    'source',
    name,
    sources.flatMap((node) => [topicOf(node), node.uid]),
  )
}

/** By topic or uid, or the topic of dead letters. Throws `TEST_NAME_UNKNOWN` (invalid), naming those there are. */
export function sinkNamed(
  { graph, name: job, settings }: JobDefinition,
  name: string,
): { readonly topic: string; readonly decode: Decode | null } {
  const sinks = graph.nodes.filter((node) => node.kind === 'sink')
  const found = sinks.find((node) => outputOf(node) === name) ?? sinks.find(({ uid }) => uid === name)
  if (found !== undefined) return { topic: outputOf(found), decode: found.decode ?? null }
  const dead = settings.deadLetters?.['topic']
  if (dead === name) return { topic: name, decode: null }
  throw unknown(
    job,
    'sink',
    name,
    sinks.flatMap((node) => [outputOf(node), node.uid]),
  )
}

function unknown(job: string, what: 'source' | 'sink', name: string, names: readonly string[]): WeirError {
  const known = [...new Set(names)]
  return new WeirError(
    { code: 'TEST_NAME_UNKNOWN', kind: 'invalid', job, name, known },
    `job "${job}" has no ${what} "${name}". Call it by its topic or uid: ${known.join(', ') || `it has no ${what}`}.`,
  )
}
