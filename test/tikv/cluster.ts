/** A cluster of the peer: what a test starts, breaks and asks. */
import { ServerCredentials } from '@grpc/grpc-js'
import { encodeMemcomparable } from '../../libs/idempotency/src/tikv/memcomparable.ts'
import { noFaults, type FaultPlan } from './faults.ts'
import { PdServer } from './pd-server.ts'
import { RawData, type ApiVersion } from './raw-data.ts'
import { StoreServer } from './store-server.ts'
import { Topology } from './topology.ts'

/** Of a real PD: far beyond 2^53. */
const CLUSTER_ID = 7_711_383_951_708_769_177n

export interface ClusterOptions {
  readonly apiVersion?: ApiVersion
  readonly stores?: number
  readonly pdMembers?: number
  readonly keyspaces?: Readonly<Record<string, number>>
  readonly tls?: { readonly ca: Buffer; readonly key: Buffer; readonly cert: Buffer }
}

export class TikvCluster {
  readonly data: RawData
  readonly topology: Topology
  readonly stores: readonly StoreServer[]
  readonly members: readonly PdServer[]
  faults: FaultPlan = noFaults
  /** null: PD has no leader. */
  pdLeader: PdServer | null
  /** What the servers' clock is ahead of this machine's. */
  aheadSeconds = 0

  private constructor(options: ClusterOptions) {
    const { apiVersion = 2, stores = 3, pdMembers = 2, keyspaces = { DEFAULT: 0 }, tls } = options
    const credentials =
      tls === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(tls.ca, [{ private_key: tls.key, cert_chain: tls.cert }], true)
    const ids = Array.from({ length: stores }, (_, i) => BigInt(i + 1))
    this.data = new RawData(apiVersion, () => Math.floor(Date.now() / 1_000) + this.aheadSeconds)
    this.topology = new Topology(ids)
    const { data, topology } = this
    this.stores = ids.map(
      (id) =>
        new StoreServer({ id, topology, data, boundaryOf: this.#boundary, faults: () => this.faults, credentials }),
    )
    const shared = {
      clusterId: CLUSTER_ID,
      topology,
      stores: this.stores,
      keyspaces,
      members: () => this.members,
      leader: () => this.pdLeader,
      credentials,
      scheme: tls === undefined ? ('http' as const) : ('https' as const),
    }
    this.members = Array.from({ length: pdMembers }, (_, i) => new PdServer({ name: `pd-${i}`, ...shared }))
    this.pdLeader = this.members[0]!
  }

  static async start(options: ClusterOptions = {}): Promise<TikvCluster> {
    const cluster = new TikvCluster(options)
    await Promise.all([...cluster.stores, ...cluster.members].map((server) => server.start()))
    return cluster
  }

  get pd(): string[] {
    return this.members.map(({ address }) => address)
  }

  stop(): void {
    for (const server of [...this.stores, ...this.members]) server.stop()
  }

  /** A boundary at a user key. */
  split(key: string, keyspaceId = 0): void {
    this.topology.split(this.boundaryAt(key, keyspaceId))
  }

  merge(key: string, keyspaceId = 0): void {
    this.topology.merge(this.boundaryAt(key, keyspaceId))
  }

  /** @param store its id; null: nobody leads */
  transfer(key: string, store: bigint | null, keyspaceId = 0): void {
    this.topology.transfer(this.boundaryAt(key, keyspaceId), store)
  }

  leaderOf(key: string, keyspaceId = 0): StoreServer {
    const { leader } = this.topology.at(this.boundaryAt(key, keyspaceId))
    return this.stores.find(({ id }) => id === leader)!
  }

  boundaryAt(key: string, keyspaceId = 0): Buffer {
    return this.#boundary(this.wireKey(key, keyspaceId))
  }

  wireKey(key: string, keyspaceId = 0): Buffer {
    if (this.data.apiVersion !== 2) return Buffer.from(key)
    const prefix = Buffer.alloc(4)
    prefix.writeUInt32BE(keyspaceId)
    prefix[0] = 0x72
    return Buffer.concat([prefix, Buffer.from(key)])
  }

  #boundary = (wire: Buffer): Buffer => (this.data.apiVersion === 2 ? encodeMemcomparable(wire) : wire)
}
