/** Opens what the configuration names: etcd with S3, or one folder. */
import type { Election, LeaderStores, Leadership, ObjectStore } from '@weir/checkpoint'
import type { EtcdFacts } from '@weir/dataflow'
import {
  ArbitratedCheckpointStore,
  EtcdAnswerStore,
  EtcdElection,
  EtcdHeadRegister,
  EtcdJobStore,
  etcdClient,
  etcdFacts,
  fixArbiters,
  jobObjects,
  openElsewhere,
  openEmbeddedMetadata,
  openS3,
  registerHead,
  type AnswerStore,
  type EtcdLeadership,
} from '@weir/metadata'
import { WeirError, type JobId } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import type { JobManagerConfig } from './config.ts'

export interface Metadata {
  /** Who decides in this cluster; `etcd`: the object store honours no conditions, and there is no degraded mode. */
  readonly arbiters: 'etcd-and-objects' | 'etcd'
  readonly election: Election
  readonly answers: AnswerStore
  readonly objects: ObjectStore
  /** Absent: there is nobody to ask. Throws what etcd throws. */
  etcdFacts?(): Promise<EtcdFacts>
  stores(leadership: Leadership): LeaderStores
  close(): Promise<void>
}

/** Throws what the servers say when they are away or refuse: `ETCD_UNAVAILABLE`, `OBJECT_STORE_…`. */
export async function openMetadata(config: JobManagerConfig, env: NodeJS.ProcessEnv): Promise<Metadata> {
  if (config.mode === 'embedded') {
    return { ...(await openEmbeddedMetadata(config.dataDir, systemRandom)), arbiters: 'etcd-and-objects' }
  }
  const objects = openS3(env)
  const conditionalObjects = config.arbiters !== 'etcd' && (await objects.honoursConditions(systemRandom))
  const { cluster, etcd, leaseSeconds } = config
  const client = etcdClient({ hosts: etcd, cluster })
  const election = new EtcdElection(
    client,
    objects,
    { cluster, ttlSeconds: leaseSeconds, conditionalObjects },
    systemClock,
  )
  const arbiters = conditionalObjects ? 'etcd-and-objects' : 'etcd'
  // A wrong address should be said at the start, not be retried for ever.
  await fixArbiters(client, cluster, arbiters)
  return {
    objects,
    election,
    answers: new EtcdAnswerStore(client, cluster),
    arbiters,
    etcdFacts: () => etcdFacts(client, { hosts: etcd, cluster }, { clock: systemClock, random: systemRandom }),
    stores(leadership) {
      const scope = { client, cluster, term: (leadership as EtcdLeadership).term }
      const register = new EtcdHeadRegister(scope)
      return {
        jobs: new EtcdJobStore(scope),
        objects,
        elsewhere: (url) => openElsewhere(url, env),
        ...jobObjects({
          ...{ objects, clock: systemClock, signal: leadership.signal },
          // Where the object store decides nothing there is no head.json to look at.
          ...(!conditionalObjects && { head: (jobId) => registerHead(register, jobId, leadership.generation) }),
        }),
        checkpoints(jobId, arbiter) {
          if (arbiter === 's3' && !conditionalObjects) throw noArbiter(jobId)
          const kind = conditionalObjects ? arbiter : 'etcd-alone'
          return new ArbitratedCheckpointStore(jobId, leadership.generation, kind, {
            objects,
            register,
            random: systemRandom,
          })
        },
      }
    },
    async close() {
      client.close()
      await objects.close()
    },
  }
}

export const noArbiter = (jobId: JobId): WeirError =>
  new WeirError(
    { code: 'ARBITER_UNAVAILABLE', kind: 'invalid', jobId, arbiter: 's3' },
    `job ${jobId} asks for \`arbiter: 's3'\`, and the object store does not honour conditional writes (If-Match, ` +
      'If-None-Match): two leaders could both own the job. Leave the setting out, or use a store that does.',
  )
