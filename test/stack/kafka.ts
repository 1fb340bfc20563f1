/** A real broker for one test file: connected in front of its first test, closed behind its last. kcat, another client, is the judge. */
import { KafkaConnections } from '@weir/kafka'
import { systemClock, systemRandom } from '@weir/runtime/system'
import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll } from 'vitest'
import { settled } from '../../libs/kafka/src/testing/settled.ts'
import { stackEndpoints } from './endpoints.ts'
import { createTopics } from './topics.ts'

export interface TestKafka {
  /** host:port */
  readonly broker: string
  readonly kafka: KafkaConnections
  readonly admin: ReturnType<KafkaConnections['admin']>
  /** Stands in the names of topics, jobs and ids, so that runs do not meet. */
  readonly run: string
  createTopics(
    topics: readonly string[],
    of?: { readonly partitions?: number; readonly configs?: Readonly<Record<string, string>> },
  ): Promise<void>
  /** @param values one a line */
  produce(topic: string, partition: number, values: readonly string[], ...args: readonly string[]): void
  /**
   * What is committed, in lines of kcat's `format`, once no transaction whose id contains `part` is about to end. EndTxn answers before
   * its control records are in the log.
   */
  committed(topic: string, format: string, part: string): Promise<string[]>
}

/** To be called where hooks may be: at the top of a file or in a `describe`. */
export function testKafka(broker = stackEndpoints().kafka): TestKafka {
  const kafka = connect(broker)
  const admin = kafka.admin()
  beforeAll(() => admin.connect())
  afterAll(async () => {
    await admin.disconnect()
    await kafka.close()
  })
  return {
    ...{ broker, kafka, admin, run: systemRandom.nonce().slice(0, 8) },
    createTopics: (topics, { partitions = 1, configs = {} } = {}) => createTopics(admin, topics, partitions, configs),
    produce(topic, partition, values, ...args) {
      const input = values.join('\n')
      execFileSync('kcat', ['-b', broker, '-P', '-t', topic, '-p', String(partition), ...args], { input })
    },
    async committed(topic, format, part) {
      await settled(kafka, part)
      const only = ['-X', 'isolation.level=read_committed', '-X', 'fetch.wait.max.ms=10']
      const args = ['-b', broker, '-C', '-Z', '-t', topic, '-e', '-q', '-o', 'beginning', '-f', `${format}\n`, ...only]
      return execFileSync('kcat', args).toString().split('\n').filter(Boolean)
    },
  }
}

/** Of its own: a client goes on asking for topics it has known. */
export const connect = (broker: string): KafkaConnections =>
  new KafkaConnections({ brokers: [broker], clientId: 'weir-test' }, { clock: systemClock })
