/** What is observed of servers and machines, as plain data: it travels from whoever may ask them. Times in ms, sizes in bytes. */

/** By name, as Kafka writes them. */
export type Configs = Readonly<Record<string, string>>

export interface TopicFacts {
  /** Lowest over its partitions. */
  readonly replicas: number
  readonly inSync: number
  /** Empty: they may not be read. */
  readonly configs: Configs
}

export interface KafkaFacts {
  readonly brokers: number
  /** Level of the finalized feature; 0: there is none. */
  readonly transactionVersion: number
  readonly metadataVersion: number
  /** A Produce of the older protocol is verified against its transaction: since 3.6. */
  readonly verifiesTransactions: boolean
  /** By node id; of those whose configuration may be read. */
  readonly brokerConfigs: Readonly<Record<string, Configs>>
  /** By name, with the internal ones; null: it is not there. */
  readonly topics: Readonly<Record<string, TopicFacts | null>>
}

export interface EtcdFacts {
  readonly members: number
  /** `NOSPACE`, `CORRUPT`. */
  readonly alarms: readonly string[]
  readonly dbBytes: number
  /** Null: it does not tell. */
  readonly quotaBytes: number | null
  /** Median of a few writes and reads through the quorum. */
  readonly writeMs: number
  readonly readMs: number
}

export interface ObjectsFacts {
  /** If-Match and If-None-Match decide a race. */
  readonly conditions: boolean
  /** What was written, overwritten and deleted is seen so at once, in reads and lists: empty, or what was not. */
  readonly stale: readonly string[]
  readonly writeMs: number
}

export interface RedisFacts {
  /** `noeviction`, `allkeys-lru`, … */
  readonly evictionPolicy: string
  /** 0: none. */
  readonly maxmemoryBytes: number
  readonly usedBytes: number
  readonly appendOnly: boolean
  /** `always`, `everysec`, `no`; null: it may not be asked for. */
  readonly appendFsync: string | null
  /** Snapshots are taken by themselves; null: it may not be asked for. */
  readonly snapshots: boolean | null
  readonly replicas: number
  /** Null: it may not be asked for. */
  readonly minReplicasToWrite: number | null
}

/** As a store of claims. */
export interface PostgresFacts {
  /** Of all clients that are no superusers. */
  readonly connectionsMax: number
  readonly connectionsUsed: number
  /** Of one slot of a job that claims there, at most. */
  readonly connectionsPerSlot: number
}

export interface MachineFacts {
  /** As people call it. */
  readonly name: string
  /** `process.versions.node` */
  readonly node: string
  /** Of one process; null: there is no such limit, or it is not told. */
  readonly openFilesMax: number | null
  /** Where state lies; null: it cannot be told. */
  readonly disk: { readonly folder: string; readonly freeBytes: number } | null
}

export interface ClockFacts {
  readonly name: string
  /** Its clock − ours. */
  readonly offsetMs: number
  readonly uncertaintyMs: number
}

/** Asked, and what came of it. Absent in `Observed`: nobody asked. */
export type Asked<T> =
  | { readonly name: string; readonly facts: T }
  | { readonly name: string; readonly unanswered: { readonly message: string } }

export interface Observed {
  readonly kafka?: Asked<KafkaFacts>
  readonly etcd?: Asked<EtcdFacts>
  readonly objects?: Asked<ObjectsFacts>
  readonly redis?: readonly Asked<RedisFacts>[]
  /** As many as `JobNeeds.postgres`, in its order. */
  readonly postgres?: readonly Asked<PostgresFacts>[]
  readonly machines?: readonly MachineFacts[]
  readonly clocks?: readonly ClockFacts[]
}
