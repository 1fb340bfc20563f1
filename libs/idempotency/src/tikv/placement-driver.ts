/** TiKV's placement driver (PD): which region holds a key, who leads it, where a store listens. Any member knows the leader. */
import { WeirError, type Clock } from '@weir/model'
import { keyspacepb, metapb, pdpb } from '@weir/proto/tikv'
import type { Answer, Channels, Reply } from './channels.ts'
import { regionOf, type Region } from './region.ts'

/** Of one member: another one may answer meanwhile. */
const MEMBER_TIMEOUT_MS = 1_000
/** A member that does not answer must leave time for the others. */
const MEMBER_SHARE = 2
const ROUNDS_MAX = 4

export interface PlacementDriverOptions {
  /** host:port of members, any of them. */
  readonly endpoints: readonly string[]
}

/** PD did not answer as needed; the message says which member said what. */
export class PdFailure extends Error {}

export interface StoreAddress {
  readonly address: string
  readonly gone: boolean
}

export class PlacementDriver {
  readonly #channels: Channels
  readonly #clock: Clock
  #members: readonly string[]
  #leader: string | null = null
  /** Told by the first member that answered; a cluster made anew has another one, and none of our claims. */
  #clusterId: bigint | null = null

  constructor(options: PlacementDriverOptions, deps: { readonly channels: Channels; readonly clock: Clock }) {
    this.#members = options.endpoints
    this.#channels = deps.channels
    this.#clock = deps.clock
  }

  get clusterId(): bigint {
    return this.#clusterId ?? 0n
  }

  /** null: no region holds the key, which is so only while a cluster begins. @param boundary see key-codec.ts */
  async region(boundary: Buffer, deadline: number, signal: AbortSignal): Promise<Region | null> {
    const { region, leader } = await this.#ask(deadline, signal, (address, header, timeoutMs) =>
      this.#channels.ask(
        address,
        'pd',
        timeoutMs,
        signal,
        (client, metadata, options, reply: Reply<pdpb.GetRegionResponse>) =>
          client.getRegion({ header, regionKey: boundary, needBuckets: false }, metadata, options, reply),
      ),
    )
    return region === undefined ? null : regionOf(region, leader)
  }

  /** Regions from `start` on, in order, at most `limit`. */
  async regions(start: Buffer, end: Buffer, limit: number, deadline: number, signal: AbortSignal): Promise<Region[]> {
    const { regions, regionMetas, leaders } = await this.#ask(deadline, signal, (address, header, timeoutMs) =>
      this.#channels.ask(
        address,
        'pd',
        timeoutMs,
        signal,
        (client, metadata, options, reply: Reply<pdpb.ScanRegionsResponse>) =>
          client.scanRegions({ header, startKey: start, endKey: end, limit }, metadata, options, reply),
      ),
    )
    if (regions.length === 0) return regionMetas.map((region, i) => regionOf(region, leaders[i]))
    return regions.flatMap(({ region, leader }) => (region === undefined ? [] : [regionOf(region, leader)]))
  }

  async store(id: bigint, deadline: number, signal: AbortSignal): Promise<StoreAddress> {
    const { store } = await this.#ask(deadline, signal, (address, header, timeoutMs) =>
      this.#channels.ask(
        address,
        'pd',
        timeoutMs,
        signal,
        (client, metadata, options, reply: Reply<pdpb.GetStoreResponse>) =>
          client.getStore({ header, storeId: id }, metadata, options, reply),
      ),
    )
    return { address: store?.address ?? '', gone: store === undefined || store.state === metapb.StoreState.Tombstone }
  }

  /** @returns its id. Throws `TIKV_KEYSPACE` (invalid) for a name PD does not know, or that is not enabled. */
  async keyspace(name: string, deadline: number, signal: AbortSignal): Promise<number> {
    const { keyspace } = await this.#ask(deadline, signal, (address, header, timeoutMs) =>
      this.#channels.ask(
        address,
        'keyspace',
        timeoutMs,
        signal,
        (client, metadata, options, reply: Reply<keyspacepb.LoadKeyspaceResponse>) =>
          client.loadKeyspace({ header, name }, metadata, options, reply),
      ),
    )
    if (keyspace?.state === keyspacepb.KeyspaceState.ENABLED) return keyspace.id
    throw new WeirError(
      { code: 'TIKV_KEYSPACE', kind: 'invalid', keyspace: name },
      `PD knows no enabled keyspace "${name}": create it (pd-ctl keyspace create ${name}), or leave it out for DEFAULT`,
    )
  }

  /** Asks the leader; when that says it is not, or does not answer, finds the new one. Throws `PdFailure` behind the deadline. */
  async #ask<A extends { readonly header: pdpb.ResponseHeader | undefined }>(
    deadline: number,
    signal: AbortSignal,
    ask: (address: string, header: pdpb.RequestHeader, timeoutMs: number) => Promise<Answer<A>>,
  ): Promise<A> {
    let last = 'no member answered in time'
    for (let round = 0; round < ROUNDS_MAX && this.#clock.monotonic() < deadline; round++) {
      const leader = (this.#leader ??= await this.#findLeader(deadline, signal))
      const answer = await ask(leader, { clusterId: this.clusterId, senderId: 0n }, this.#share(deadline))
      if (answer.ok) {
        const error = answer.value.header?.error
        if (error === undefined || error.type === pdpb.ErrorType.OK || isAbsence(error.type)) return answer.value
        last = `${leader}: ${error.message}`
      } else last = `${leader}: ${answer.message}`
      this.#leader = null
    }
    throw new PdFailure(`PD: ${last}`)
  }

  async #findLeader(deadline: number, signal: AbortSignal): Promise<string> {
    let last = 'no time left'
    for (const member of this.#members) {
      if (this.#clock.monotonic() >= deadline) break
      const answer = await this.#channels.ask(
        member,
        'pd',
        this.#share(deadline),
        signal,
        (client, metadata, options, reply: Reply<pdpb.GetMembersResponse>) =>
          client.getMembers({ header: undefined }, metadata, options, reply),
      )
      if (!answer.ok) {
        last = `${member}: ${answer.message}`
        continue
      }
      const { header, leader, members } = answer.value
      this.#pin(header?.clusterId ?? 0n, member)
      const url = leader?.clientUrls[0]
      if (url === undefined) {
        last = `${member}: no leader`
        continue
      }
      const known = members.flatMap(({ clientUrls }) => clientUrls.map(hostAndPort))
      // Behind a balancer members may name addresses that cannot be reached from here: the given ones stay.
      this.#members = [...new Set([hostAndPort(url), ...known, ...this.#members])]
      return hostAndPort(url)
    }
    throw new PdFailure(`PD: ${last}`)
  }

  #pin(clusterId: bigint, member: string): void {
    if (this.#clusterId === null) this.#clusterId = clusterId
    if (this.#clusterId === clusterId) return
    throw new WeirError(
      {
        code: 'TIKV_OTHER_CLUSTER',
        kind: 'invalid',
        member,
        expected: String(this.#clusterId),
        found: String(clusterId),
      },
      `${member} belongs to TiKV cluster ${clusterId}, not to ${this.#clusterId} that holds our claims: mend the endpoints`,
    )
  }

  #share(deadline: number): number {
    return Math.min(MEMBER_TIMEOUT_MS, Math.ceil((deadline - this.#clock.monotonic()) / MEMBER_SHARE))
  }
}

/** Nothing there: the answer has an empty field instead of what was asked for. */
const isAbsence = (type: pdpb.ErrorType): boolean =>
  type === pdpb.ErrorType.REGION_NOT_FOUND || type === pdpb.ErrorType.ENTRY_NOT_FOUND

const hostAndPort = (url: string): string => url.replace(/^https?:\/\//, '').replace(/\/$/, '')
