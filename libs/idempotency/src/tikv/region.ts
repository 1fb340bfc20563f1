/** A region as a client needs it: a range of keys, and who may lead it. Ids are bigints: they exceed 2^53. */
import { metapb } from '@weir/proto/tikv'

const { Voter, DemotingVoter } = metapb.PeerRole

export interface Peer {
  readonly id: bigint
  readonly storeId: bigint
}

/** Both numbers only grow; `version` with each split and merge, so of two overlapping regions the greater is newer. */
export interface Epoch {
  readonly confVer: bigint
  readonly version: bigint
}

export interface Region {
  readonly id: bigint
  /** [start, end) in boundary form (see key-codec.ts); an empty end is +inf. */
  readonly start: Buffer
  readonly end: Buffer
  readonly epoch: Epoch
  /** Those that may lead: no learners, no witnesses. */
  readonly peers: readonly Peer[]
  /** null: unknown, any peer may be asked and tells. */
  readonly leader: Peer | null
}

export function regionOf(region: metapb.Region, leader?: metapb.Peer): Region {
  const { id, startKey, endKey, regionEpoch } = region
  const mayLead = ({ role, isWitness }: metapb.Peer): boolean =>
    !isWitness && (role === Voter || role === DemotingVoter)
  const peers = region.peers.filter(mayLead).map((peer) => ({ id: peer.id, storeId: peer.storeId }))
  return {
    id,
    start: startKey,
    end: endKey,
    epoch: { confVer: regionEpoch?.confVer ?? 0n, version: regionEpoch?.version ?? 0n },
    peers,
    leader: peers.find((peer) => peer.id === leader?.id) ?? null,
  }
}

export const holds = (region: Region, boundary: Buffer): boolean =>
  region.start.compare(boundary) <= 0 && (region.end.length === 0 || boundary.compare(region.end) < 0)

export const overlap = (a: Region, b: Region): boolean =>
  (b.end.length === 0 || a.start.compare(b.end) < 0) && (a.end.length === 0 || b.start.compare(a.end) < 0)

/**
 * Whom to ask: the leader, unless its store could not be reached just now and another peer may know better (PD learns of
 * a new leader a little later than the peers do).
 */
export function peerToAsk(region: Region, unreachable: (storeId: bigint) => boolean): Peer | null {
  if (region.leader !== null && !unreachable(region.leader.storeId)) return region.leader
  return region.peers.find((peer) => !unreachable(peer.storeId)) ?? region.leader ?? region.peers[0] ?? null
}
