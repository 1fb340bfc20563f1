/** `weir ingest`: records by HTTP into topics, for whoever cannot write to Kafka. Needs nothing else of Weir. */
import { INGEST_DEFAULTS, IngestServer } from '@weir/connectors'
import { KafkaDurableLog, kafkaSecurity } from '@weir/kafka'
import { systemClock } from '@weir/runtime/system'
import { once } from 'node:events'
import { usage } from './usage.ts'

export interface IngestCommand {
  readonly topics: readonly string[]
  /** host:port,… */
  readonly brokers: string | undefined
  /** HOST:PORT; undefined: the default. */
  readonly listen: string | undefined
  readonly token: string | null
}

/** Until it is told to end. Throws `INGEST_UNGUARDED` (invalid). */
export async function ingest(
  { topics, brokers, listen, token }: IngestCommand,
  print: (value: unknown, text: string) => void,
): Promise<number> {
  if (topics.length === 0) throw usage('ingest writes to topics that are named: give --topic TOPIC')
  if (brokers === undefined) throw usage('ingest writes to Kafka: give --kafka HOST:PORT,… or WEIR_KAFKA_BROKERS')
  const log = new KafkaDurableLog({
    brokers: brokers.split(','),
    clientId: 'weir-ingest',
    security: kafkaSecurity(process.env),
  })
  const server = new IngestServer(
    { ...INGEST_DEFAULTS, ...addressOf(listen), topics, token },
    { log, clock: systemClock },
  )
  const at = await server.listen()
  print({ ...at, topics }, `POST to http://${at.host}:${at.port}/topics/{${topics.join(',')}}`)
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  await server.close()
  await log.close()
  return 0
}

function addressOf(listen: string | undefined): { host?: string; port?: number } {
  if (listen === undefined) return {}
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(listen) ?? []
  if (host === undefined || Number(port) > 65_535) throw usage(`--listen is "${listen}"; give HOST:PORT`)
  return { host, port: Number(port) }
}
