/** Requests about the cluster itself: its topics, and how it is configured. */
import { call } from './apis.ts'
import { Writer } from './bytes.ts'

const TOPIC = 2
const BROKER = 4
const NO_ID = Buffer.alloc(16)

/** A topic, or a broker by its id: that one must be asked itself. */
export type ConfigResource = { readonly topic: string } | { readonly broker: string }

/**
 * DescribeConfigs 4: [type 2 = topic, 4 = broker; name, [config]], synonyms, documentation → throttle, [error, message, type,
 * name, [config, value, read-only, source, sensitive, [synonym, value, source], type, documentation]].
 */
export const describeConfigs = (of: ConfigResource, names: readonly string[]) => {
  const [type, resource] = 'topic' in of ? [TOPIC, of.topic] : [BROKER, of.broker]
  const w = new Writer().uvarint(2).i8(type).string(resource)
  w.array(names, (name) => w.string(name)).tags()
  w.bool(false).bool(false).tags()
  return call('DescribeConfigs', 32, 4, w, (r) => {
    r.i32()
    const [found] = r.array(() => {
      const errorCode = r.i16()
      r.string()
      r.i8()
      r.string()
      const configs = r.array((): [string, string | null] => {
        const one: [string, string | null] = [r.string()!, r.string()]
        r.at += 3 // read-only, source, sensitive
        r.array(() => {
          r.string()
          r.string()
          r.i8()
          r.tags()
        })
        r.i8()
        r.string()
        r.tags()
        return one
      })
      r.tags()
      return { errorCode, configs: new Map(configs) }
    })
    return found!
  })
}

export interface DescribedTopic {
  readonly errorCode: number
  readonly name: string
  readonly partitions: readonly { readonly leader: number; readonly replicas: number; readonly inSync: number }[]
}

/**
 * Metadata 12: [topic id, name], create topics, authorized operations → throttle, [node id, host, port, rack], cluster,
 * controller, [error, name, topic id, internal, [error, partition, leader, leader epoch, [replica], [in sync], [offline]],
 * operations].
 */
export const describeTopics = (topics: readonly string[]) => {
  const w = new Writer()
  w.array(topics, (name) => w.raw(NO_ID).string(name).tags())
    .bool(false)
    .bool(false)
    .tags()
  return call('Metadata', 3, 12, w, (r) => {
    r.i32()
    const brokers = r.array(() => {
      const nodeId = r.i32()
      r.string()
      r.i32()
      r.string()
      r.tags()
      return nodeId
    })
    r.string()
    r.i32()
    const described = r.array((): DescribedTopic => {
      const errorCode = r.i16()
      const name = r.string()!
      r.at += NO_ID.length + 1 // topic id, internal
      const partitions = r.array(() => {
        r.i16()
        r.i32()
        const leader = r.i32()
        r.i32()
        const [replicas, inSync] = [r.array(() => r.i32()), r.array(() => r.i32())]
        r.array(() => r.i32())
        r.tags()
        return { leader, replicas: replicas.length, inSync: inSync.length }
      })
      r.i32()
      r.tags()
      return { errorCode, name, partitions }
    })
    return { brokers, topics: described }
  })
}
