/**
 * The janitor's worker thread: transactions outside of any attempt, listed, ended by exact name, or settled for a job that
 * has ended; dead letters, listed and replayed; what a job needs, examined before it starts. It holds no state but connections, and every act may be repeated, also by
 * another process.
 */
import { listDeadLetters, replayDeadLetters, type HandleProof, type Topics } from '@weir/dataflow'
import { kafkaSecurity } from '@weir/kafka'
import { ObjectStagedOutput, openElsewhere, openObjectStore } from '@weir/metadata'
import { asWeirError } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import type { Failure, JanitorAnswer, JanitorRequest, SinkToSettle } from '@weir/wire'
import { parentPort } from 'node:worker_threads'
import { Adapters, unknownConnector, type AdapterOptions } from './adapters.ts'
import { examineServers } from './examine.ts'

export type JanitorMessage =
  { readonly id: number; readonly answer: JanitorAnswer } | { readonly id: number; readonly failure: Failure }

/** Bound of one settling, as of a recovery. */
const SETTLE_TIMEOUT_MS = 180_000

const port = parentPort!
const objects = openObjectStore(process.env)
const options: AdapterOptions = {
  kafkaBrokers: (process.env['WEIR_KAFKA_BROKERS'] ?? '').split(',').filter((b) => b !== ''),
  kafkaSecurity: kafkaSecurity(process.env),
  log: process.env['WEIR_LOG'] || null,
  staged: (context) => new ObjectStagedOutput(context, { objects, clock: systemClock }),
  folder: (url) => openElsewhere(url, process.env),
}
/** Their connections end with the thread. */
const adapters = new Adapters(options, systemClock)
const janitors = adapters.janitors(new AbortController().signal)
const topics = adapters.topics(new AbortController().signal)

async function act(request: JanitorRequest): Promise<JanitorAnswer> {
  switch (request.type) {
    case 'list': {
      const lists = await Promise.all([...janitors.values()].map((janitor) => janitor.list(request.prefix)))
      return { type: 'listed', connectors: [...janitors.keys()], transactions: lists.flat() }
    }
    case 'end': {
      const janitor = janitors.get(request.connector)
      if (janitor === undefined) throw unknownConnector(request.connector, request.transaction.transactionalId)
      return { type: 'ended', outcome: await janitor.end(request.transaction, request.decision) }
    }
    case 'dead-letters': {
      const { connector, topic, jobId, from, limit } = request
      return {
        type: 'letters',
        ...(await listDeadLetters(topicsOf(connector, topic), { topic, jobId }, { from, limit })),
      }
    }
    case 'replay': {
      const { connector, topic, jobId, origins, replayId } = request
      const wish = { topic, jobId, origins, replayId }
      return { type: 'replayed', replay: await replayDeadLetters(topicsOf(connector, topic), wish) }
    }
    case 'settle':
      return { type: 'settled', proofs: await settle(request.sink) }
    case 'examine': {
      const { kafkaBrokers } = options
      const dataDir = process.env['WEIR_DATA_DIR'] ?? '.weir/task-manager'
      return { type: 'examined', observed: await examineServers(request.needs, { kafkaBrokers, dataDir }) }
    }
  }
}

function topicsOf(connector: string, topic: string): Topics {
  const found = topics.get(connector)
  if (found === undefined) throw unknownConnector(connector, topic)
  return found
}

async function settle(sink: SinkToSettle): Promise<readonly HandleProof[]> {
  const adapters = new Adapters(options, systemClock)
  try {
    return await adapters.settle(sink, AbortSignal.timeout(SETTLE_TIMEOUT_MS))
  } finally {
    await adapters.close()
  }
}

port.on('message', ({ id, request }: { id: number; request: JanitorRequest }) => {
  act(request).then(
    (answer) => port.postMessage({ id, answer } satisfies JanitorMessage),
    (thrown: unknown) => {
      const failure = asWeirError(thrown, 'JANITOR_FAILED', 'retry').toJSON()
      port.postMessage({ id, failure } satisfies JanitorMessage)
    },
  )
})
