/** Opens what the configuration names: etcd with S3, or one folder. */
import type { Election, LeaderStores, Leadership, ObjectStore } from '@weir/checkpoint'
import {
  ArbitratedCheckpointStore,
  EtcdElection,
  EtcdHeadRegister,
  EtcdJobStore,
  etcdClient,
  openEmbeddedMetadata,
  openS3,
  type EtcdLeadership,
} from '@weir/metadata'
import { systemClock, systemRandom } from '@weir/model'
import type { JobManagerConfig } from './config.ts'

export interface Metadata {
  readonly election: Election
  readonly objects: ObjectStore
  stores(leadership: Leadership): LeaderStores
  close(): Promise<void>
}

/** Throws what the servers say when they are away or refuse: `ETCD_UNAVAILABLE`, `OBJECT_STORE_…`. */
export async function openMetadata(config: JobManagerConfig, env: NodeJS.ProcessEnv): Promise<Metadata> {
  if (config.mode === 'embedded') return openEmbeddedMetadata(config.dataDir, systemRandom)
  const objects = openS3(env)
  await objects.probe(systemRandom)
  const { cluster, etcd, leaseSeconds } = config
  const client = etcdClient({ hosts: etcd, cluster })
  const election = new EtcdElection(client, objects, { cluster, ttlSeconds: leaseSeconds }, systemClock)
  // A wrong address should be said at the start, not be retried for ever.
  await election.leader()
  return {
    objects,
    election,
    stores(leadership) {
      const scope = { client, cluster, term: (leadership as EtcdLeadership).term }
      const register = new EtcdHeadRegister(scope)
      return {
        jobs: new EtcdJobStore(scope),
        objects,
        checkpoints: (jobId, arbiter) =>
          new ArbitratedCheckpointStore(jobId, leadership.generation, arbiter, {
            objects,
            register,
            random: systemRandom,
          }),
      }
    },
    async close() {
      client.close()
      await objects.close()
    },
  }
}
