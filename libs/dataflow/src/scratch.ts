/**
 * A job as `weir prove` runs it: the same graph and the same user code, on a log of its own that nobody else reads or writes, over a
 * bounded input, with checkpoints often enough that there are several of them.
 */
import { WeirError } from '@weir/model'
import type { ConnectorDescriptor, GraphNode, JobDefinition, JobSettings } from './graph.ts'

export interface Scratch {
  /** Before the name of every topic that is read, and of every one that is written. */
  readonly reads: string
  readonly writes: string
  /** `file:///FOLDER/`: in a folder of its own each sink writes its files there. */
  readonly files: string
  /** By topic that is read: how many records there are. */
  readonly inputs: Readonly<Record<string, number>>
  /** Of a generator, by split. */
  readonly generated: number
  /** How long the input of each source lasts at its rate, ms. */
  readonly lastsMs: number
  readonly checkpointIntervalMs: number
}

/** Topics the job reads, at Kafka or in the embedded log. */
export const inputsOf = ({ graph }: JobDefinition): readonly string[] => [
  ...new Set(
    graph.nodes.flatMap((node) => {
      const isTopic = node.kind === 'source' && TOPICS.includes(node.descriptor.connector)
      return isTopic ? [String(node.descriptor['topic'])] : []
    }),
  ),
]

/** Topics the job writes once it is `onScratch`, and folders by sink, as `Scratch.files`. */
export function outputsOf({ graph, settings }: JobDefinition): {
  readonly topics: readonly string[]
  readonly folders: ReadonlyMap<string, string>
} {
  const asides = [settings.deadLetters, settings.audit].flatMap((one) => (one === null ? [] : [one]))
  const sinks = graph.nodes.flatMap((node) => (node.kind === 'sink' ? [node] : []))
  const written = [...sinks.map(({ descriptor }) => descriptor), ...asides]
  const isFiles = ({ connector }: ConnectorDescriptor): boolean => connector === 'files'
  return {
    topics: [...new Set(written.filter((one) => !isFiles(one)).map(({ topic }) => String(topic)))],
    folders: new Map(
      sinks.flatMap(({ uid, descriptor }) =>
        isFiles(descriptor) ? [[String(uid), String(descriptor['folder'])] as const] : [],
      ),
    ),
  }
}

const TOPICS = ['kafka', 'log']

/** Throws `PROVE_UNSUPPORTED` (invalid) naming what can be run on no log. */
export function onScratch(job: JobDefinition, scratch: Scratch): JobDefinition {
  const { settings } = job
  if (settings.commit.scope !== 'epoch') {
    throw unsupported('settings', 'commits in the continuous scope, which needs Kafka itself')
  }
  const aside = (of: ConnectorDescriptor | null): ConnectorDescriptor | null => of && written('settings', of, scratch)
  return {
    ...job,
    settings: {
      ...settings,
      ...often(settings, scratch),
      deadLetters: aside(settings.deadLetters),
      audit: aside(settings.audit),
    },
    graph: { ...job.graph, nodes: job.graph.nodes.map((node) => nodeOn(node, scratch)) },
  }
}

const often = (
  { checkpoint }: JobSettings,
  { checkpointIntervalMs: intervalMs }: Scratch,
): Pick<JobSettings, 'checkpoint' | 'restart'> => {
  const { circuit: _, ...others } = checkpoint
  return {
    checkpoint: { ...others, intervalMs, everyRecords: null, minPauseMs: 0 },
    restart: { attempts: 100, delayMs: 50 },
  }
}

function nodeOn(node: GraphNode, scratch: Scratch): GraphNode {
  if (node.kind === 'sink') return { ...node, descriptor: written(node.uid, node.descriptor, scratch) }
  if (node.kind === 'idempotent') {
    throw unsupported(node.uid, `keeps its claims in ${node.claims.store}, which others share`)
  }
  if (node.kind !== 'source') return node
  const { descriptor } = node
  const paced = (records: number): Pick<typeof node, 'recordsPerSecond' | 'minRecordsPerSecond'> => ({
    recordsPerSecond: (Math.max(1, records) * 1_000) / scratch.lastsMs,
    minRecordsPerSecond: null,
  })
  if (TOPICS.includes(descriptor.connector)) {
    const topic = String(descriptor['topic'])
    return {
      ...node,
      ...paced(scratch.inputs[topic] ?? 0),
      descriptor: { connector: 'log', topic: scratch.reads + topic, startFrom: 'earliest', until: 'latest' },
    }
  }
  if (descriptor.connector === 'datagen') {
    const splits = Number(descriptor['splits'] ?? 1)
    const wanted = descriptor['recordsPerSplit']
    const recordsPerSplit = Math.min(typeof wanted === 'number' ? wanted : Infinity, scratch.generated)
    return { ...node, ...paced(recordsPerSplit * splits), descriptor: { ...descriptor, recordsPerSplit } }
  }
  throw unsupported(node.uid, `reads from ${descriptor.connector}, which cannot be read again from a copy`)
}

function written(uid: string, descriptor: ConnectorDescriptor, { writes, files }: Scratch): ConnectorDescriptor {
  if (descriptor.connector === 'files' && descriptor['format'] === 'ndjson') {
    return { ...descriptor, folder: `${files}${encodeURIComponent(uid)}/` }
  }
  if (!TOPICS.includes(descriptor.connector)) {
    throw unsupported(uid, `writes to ${descriptor.connector}, where a trial would be seen`)
  }
  return { ...descriptor, connector: 'log', topic: `${writes}${String(descriptor['topic'])}` }
}

const unsupported = (uid: string, why: string): WeirError =>
  new WeirError(
    { code: 'PROVE_UNSUPPORTED', kind: 'invalid', uid },
    `"${uid}" ${why}: weir prove runs jobs from topics (kafka, log) and generators to topics and NDJSON files; give it a build whose parameters put a topic there`,
  )
