/** One PD member of the peer. Followers refuse everything but GetMembers, as real ones do. */
import {
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js'
import { keyspacepb, metapb, pdpb } from '@weir/proto/tikv'
import { listen } from './listen.ts'
import type { StoreServer } from './store-server.ts'
import { leaderOf, metaOf, type RegionState, type Topology } from './topology.ts'

export interface PdDependencies {
  readonly name: string
  readonly clusterId: bigint
  readonly topology: Topology
  readonly stores: readonly StoreServer[]
  readonly keyspaces: Readonly<Record<string, number>>
  readonly members: () => readonly PdServer[]
  readonly leader: () => PdServer | null
  readonly credentials: ServerCredentials
  readonly scheme: 'http' | 'https'
}

interface Headed {
  readonly header: pdpb.RequestHeader | undefined
}

export class PdServer {
  readonly #deps: PdDependencies
  #server: Server | null = null
  #port = 0
  readonly counts = new Map<string, number>()

  constructor(deps: PdDependencies) {
    this.#deps = deps
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`
  }

  async start(): Promise<void> {
    const server = new Server()
    const { clusterId, topology, stores, keyspaces } = this.#deps
    const header: pdpb.ResponseHeader = { clusterId, error: undefined }
    const missing = (type: pdpb.ErrorType, message: string): pdpb.ResponseHeader => ({
      clusterId,
      error: { type, message },
    })
    const region = (of: RegionState | undefined): pdpb.GetRegionResponse => ({
      header: of === undefined ? missing(pdpb.ErrorType.REGION_NOT_FOUND, 'region not found') : header,
      region: of && metaOf(of),
      leader: of && leaderOf(of),
      downPeers: [],
      pendingPeers: [],
    })
    const full = (of: RegionState): pdpb.Region => ({
      region: metaOf(of),
      leader: leaderOf(of),
      downPeers: [],
      pendingPeers: [],
    })
    const within = (startKey: Buffer, endKey: Buffer): RegionState[] =>
      topology.regions.filter(
        ({ start, end }) =>
          (end.length === 0 || startKey.compare(end) < 0) && (endKey.length === 0 || start.compare(endKey) < 0),
      )
    server.addService(pdpb.PDService, {
      getMembers: (_, reply) => {
        this.#count('getMembers')
        const leader = this.#deps.leader()?.member()
        reply(null, {
          header,
          members: this.#deps.members().map((member) => member.member()),
          leader,
          etcdLeader: leader,
        })
      },
      getClusterInfo: (_, reply) => reply(null, { header, serviceModes: [pdpb.ServiceMode.PD_SVC_MODE], tsoUrls: [] }),
      tso: (stream) => this.#tso(stream),
      getStore: this.#asLeader('getStore', ({ storeId }) => {
        const store = stores.find(({ id }) => id === storeId)
        return store === undefined
          ? { header: missing(pdpb.ErrorType.UNKNOWN, `invalid store ID ${storeId}, not found`), store: undefined }
          : { header, store: storeMeta(store) }
      }),
      getAllStores: this.#asLeader('getAllStores', () => ({ header, stores: stores.map(storeMeta) })),
      getRegion: this.#asLeader('getRegion', ({ regionKey }) => region(topology.at(regionKey))),
      getPrevRegion: this.#asLeader('getPrevRegion', ({ regionKey }) =>
        region(topology.regions[topology.regions.indexOf(topology.at(regionKey)) - 1]),
      ),
      getRegionById: this.#asLeader('getRegionById', ({ regionId }) =>
        region(topology.regions.find(({ id }) => id === regionId)),
      ),
      scanRegions: this.#asLeader('scanRegions', ({ startKey, endKey, limit }) => {
        const found = within(startKey, endKey).slice(0, limit > 0 ? limit : undefined)
        return {
          header,
          regionMetas: found.map(metaOf),
          leaders: found.flatMap((of) => leaderOf(of) ?? []),
          regions: found.map(full),
        }
      }),
      batchScanRegions: this.#asLeader('batchScanRegions', ({ ranges, limit }) => {
        const found = new Set(ranges.flatMap(({ startKey, endKey }) => within(startKey, endKey)))
        return { header, regions: [...found].slice(0, limit > 0 ? limit : undefined).map(full) }
      }),
    } satisfies pdpb.PDServer)
    server.addService(keyspacepb.KeyspaceService, {
      loadKeyspace: this.#asLeader('loadKeyspace', ({ name }) => {
        const id = keyspaces[name]
        return id === undefined
          ? { header: missing(pdpb.ErrorType.ENTRY_NOT_FOUND, 'keyspace does not exist'), keyspace: undefined }
          : {
              header,
              keyspace: { id, name, state: keyspacepb.KeyspaceState.ENABLED, createdAt: 0n, stateChangedAt: 0n },
            }
      }),
    } satisfies keyspacepb.KeyspaceServer)
    this.#port = await listen(server, this.#port, this.#deps.credentials)
    this.#server = server
  }

  stop(): void {
    this.#server?.forceShutdown()
    this.#server = null
  }

  #asLeader<Request extends Headed, Response>(name: string, answer: (request: Request) => Response) {
    return ({ request }: ServerUnaryCall<Request, Response>, reply: sendUnaryData<Response>): void => {
      this.#count(name)
      const { clusterId, leader } = this.#deps
      const asked = request.header?.clusterId ?? 0n
      if (leader() !== this) reply({ code: status.UNAVAILABLE, details: 'not leader' })
      else if (asked !== clusterId)
        reply({ code: status.FAILED_PRECONDITION, details: `mismatch cluster id, need ${clusterId} but got ${asked}` })
      else reply(null, answer(request))
    }
  }

  /** Clients with transactions ask for time when they start. */
  #tso(stream: ServerDuplexStream<pdpb.TsoRequest, pdpb.TsoResponse>): void {
    let logical = 0n
    stream.on('data', ({ count }: pdpb.TsoRequest) => {
      logical += BigInt(count)
      const timestamp = { physical: BigInt(Date.now()), logical, suffixBits: 0 }
      stream.write({ header: { clusterId: this.#deps.clusterId, error: undefined }, count, timestamp })
    })
    stream.on('error', () => {})
    stream.on('end', () => stream.end())
  }

  member(): pdpb.Member {
    const { name, members, scheme } = this.#deps
    const url = `${scheme}://${this.address}`
    return { name, memberId: BigInt(members().indexOf(this) + 1), peerUrls: [url], clientUrls: [url] }
  }

  #count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
  }
}

const storeMeta = ({ id, address }: StoreServer): metapb.Store => ({
  id,
  address,
  state: metapb.StoreState.Up,
  version: '8.5.0',
})
