/** Regions, their epochs and leaders, as PD and the stores of the peer see them. */
import { metapb, type errorpb, type kvrpcpb } from '@weir/proto/tikv'

export interface RegionState {
  readonly id: bigint
  readonly start: Buffer
  readonly end: Buffer
  readonly confVer: bigint
  readonly version: bigint
  readonly peers: readonly metapb.Peer[]
  /** Store id; null: an election is on. */
  readonly leader: bigint | null
}

/** Far beyond 2^53, as those of real clusters: whoever reads them as numbers fails. */
const FIRST_ID = 9_007_199_254_741_000n

export class Topology {
  regions: readonly RegionState[] = []
  #nextId = FIRST_ID

  /** One region over everything, a peer on each store, led by the first. */
  constructor(storeIds: readonly bigint[]) {
    const peers = storeIds.map((storeId) => ({
      id: this.newId(),
      storeId,
      role: metapb.PeerRole.Voter,
      isWitness: false,
    }))
    const everything = { start: Buffer.alloc(0), end: Buffer.alloc(0) }
    this.regions = [{ id: this.newId(), ...everything, confVer: 1n, version: 1n, peers, leader: storeIds[0]! }]
  }

  newId(): bigint {
    return this.#nextId++
  }

  at(boundary: Buffer): RegionState {
    return this.regions.find((region) => holds(region, boundary))!
  }

  /** As TiKV: the right half keeps the id, both are of a new version. Splitting at a boundary does nothing. */
  split(boundary: Buffer): void {
    const old = this.at(boundary)
    if (old.start.equals(boundary)) return
    const version = old.version + 1n
    const peers = old.peers.map((peer) => ({ ...peer, id: this.newId() }))
    const left = { ...old, id: this.newId(), end: boundary, version, peers }
    this.#replace([old], [left, { ...old, start: boundary, version }])
  }

  /** Into its left neighbour, whose version becomes greater than both. The first region stays. */
  merge(boundary: Buffer): void {
    const gone = this.at(boundary)
    const into = this.regions[this.regions.indexOf(gone) - 1]
    if (into === undefined) return
    const version = (gone.version > into.version ? gone.version : into.version) + 1n
    this.#replace([into, gone], [{ ...into, end: gone.end, version }])
  }

  /** null: nobody leads. */
  transfer(boundary: Buffer, leader: bigint | null): void {
    const region = this.at(boundary)
    this.#replace([region], [{ ...region, leader }])
  }

  /** The peer of a store away, or a new one on it. */
  move(boundary: Buffer, from: bigint, to: bigint): void {
    const region = this.at(boundary)
    if (region.peers.some(({ storeId }) => storeId === to) || region.peers.length < 2) return
    const kept = region.peers.filter(({ storeId }) => storeId !== from)
    const peers = [...kept, { id: this.newId(), storeId: to, role: metapb.PeerRole.Voter, isWitness: false }]
    const leader = region.leader === from ? kept[0]!.storeId : region.leader
    this.#replace([region], [{ ...region, peers, leader, confVer: region.confVer + 2n }])
  }

  /** What a store says to a request before it looks at it, in raftstore's order; null: nothing against it. */
  refusal(storeId: bigint, context: kvrpcpb.Context, boundaries: readonly Buffer[]): errorpb.Error | null {
    const { regionId, peer, regionEpoch } = context
    if (peer?.storeId !== storeId)
      return regionError('store not match', {
        storeNotMatch: { requestStoreId: peer?.storeId ?? 0n, actualStoreId: storeId },
      })
    const region = this.regions.find(({ id }) => id === regionId)
    const own = region?.peers.find((each) => each.storeId === storeId)
    if (region === undefined || own === undefined)
      return regionError(`region ${regionId} not found`, { regionNotFound: { regionId } })
    if (region.leader !== storeId) {
      const leader = region.peers.find((each) => each.storeId === region.leader)
      return regionError('peer is not leader', { notLeader: { regionId, leader } })
    }
    if (peer.id !== own.id)
      return regionError('mismatch peer id', { mismatchPeerId: { requestPeerId: peer.id, storePeerId: own.id } })
    if (regionEpoch?.version !== region.version || regionEpoch.confVer !== region.confVer) {
      const siblings = this.regions.filter(
        (each) => each.id === regionId || each.start.equals(region.end) || each.end.equals(region.start),
      )
      return regionError('epoch not match', { epochNotMatch: { currentRegions: siblings.map(metaOf) } })
    }
    const key = boundaries.find((boundary) => !holds(region, boundary))
    if (key === undefined) return null
    const { start: startKey, end: endKey } = region
    return regionError('key not in region', { keyNotInRegion: { key, regionId, startKey, endKey } })
  }

  #replace(old: readonly RegionState[], by: readonly RegionState[]): void {
    const at = this.regions.indexOf(old[0]!)
    this.regions = this.regions.toSpliced(at, old.length, ...by)
  }
}

export const holds = ({ start, end }: RegionState, boundary: Buffer): boolean =>
  start.compare(boundary) <= 0 && (end.length === 0 || boundary.compare(end) < 0)

export function metaOf({ id, start, end, confVer, version, peers }: RegionState): metapb.Region {
  return { id, startKey: start, endKey: end, regionEpoch: { confVer, version }, peers: [...peers] }
}

export function leaderOf({ peers, leader }: RegionState): metapb.Peer | undefined {
  return peers.find(({ storeId }) => storeId === leader)
}

const NOTHING: errorpb.Error = {
  message: '',
  notLeader: undefined,
  regionNotFound: undefined,
  keyNotInRegion: undefined,
  epochNotMatch: undefined,
  serverIsBusy: undefined,
  staleCommand: undefined,
  storeNotMatch: undefined,
  raftEntryTooLarge: undefined,
  maxTimestampNotSynced: undefined,
  readIndexNotReady: undefined,
  proposalInMergingMode: undefined,
  dataIsNotReady: undefined,
  regionNotInitialized: undefined,
  diskFull: undefined,
  RecoveryInProgress: undefined,
  FlashbackInProgress: undefined,
  FlashbackNotPrepared: undefined,
  isWitness: undefined,
  mismatchPeerId: undefined,
  bucketVersionNotMatch: undefined,
}
export const regionError = (message: string, error: Partial<errorpb.Error>): errorpb.Error => ({
  ...NOTHING,
  message,
  ...error,
})
