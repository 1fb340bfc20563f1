import type { errorpb, metapb } from '@weir/proto/tikv'
import { describe, expect, test } from 'vitest'
import { regionError } from '../../../../test/tikv/topology.ts'
import { begin, step, TRIES_MAX, type CallEffect, type CallEvent, type CallState, type Sent } from './region-call.ts'

const sent: Sent = { regionId: 7n, epoch: { confVer: 2n, version: 5n }, storeId: 1n }
const write = begin(100, true)
const read = begin(100, false)
const moment = { now: 0, random: 1 }
const answered = (error: Partial<errorpb.Error>, message = ''): CallEvent => ({
  ...moment,
  type: 'regionError',
  error: regionError(message, error),
  sent,
})
const peer = (id: bigint, storeId: bigint): metapb.Peer => ({ id, storeId, role: 0, isWitness: false })
const region = (version: bigint, startKey: string, id = 7n): metapb.Region => ({
  id,
  startKey: Buffer.from(startKey),
  endKey: Buffer.alloc(0),
  regionEpoch: { confVer: 2n, version },
  peers: [peer(11n, 1n), peer(12n, 2n)],
})

const drop = { type: 'dropRegion', regionId: 7n }
const lead2 = { type: 'lead', regionId: 7n, storeId: 2n }
const dropStore = { type: 'dropStore', storeId: 1n }
const unreachable = { type: 'unreachable', storeId: 1n }
const pause = (ms: number): CallEffect => ({ type: 'pause', ms })
const send = { type: 'send' }
const fail = (code: string, undetermined = false): unknown => ({
  type: 'fail',
  error: expect.objectContaining({ facts: expect.objectContaining({ code, undetermined }) as unknown }) as unknown,
})

describe('every region error has its answer', () => {
  const table: [string, Partial<errorpb.Error>, unknown[]][] = [
    ['NotLeader with a leader', { notLeader: { regionId: 7n, leader: peer(12n, 2n) } }, [lead2, send]],
    ['NotLeader without', { notLeader: { regionId: 7n, leader: undefined } }, [drop, pause(2), send]],
    ['RegionNotFound', { regionNotFound: { regionId: 7n } }, [drop, pause(2), send]],
    [
      'KeyNotInRegion',
      { keyNotInRegion: { key: Buffer.alloc(0), regionId: 7n, startKey: Buffer.alloc(0), endKey: Buffer.alloc(0) } },
      [drop, pause(2), send],
    ],
    ['EpochNotMatch without regions', { epochNotMatch: { currentRegions: [] } }, [drop, pause(2), send]],
    [
      'EpochNotMatch of a store that is behind us',
      { epochNotMatch: { currentRegions: [region(4n, '')] } },
      [pause(2), send],
    ],
    ['StoreNotMatch', { storeNotMatch: { requestStoreId: 1n, actualStoreId: 9n } }, [dropStore, drop, pause(2), send]],
    ['MismatchPeerId', { mismatchPeerId: { requestPeerId: 1n, storePeerId: 2n } }, [drop, pause(2), send]],
    ['ServerIsBusy', { serverIsBusy: { reason: '', backoffMs: 0n, estimatedWaitMs: 0 } }, [send]],
    [
      'ServerIsBusy for a while',
      { serverIsBusy: { reason: '', backoffMs: 30n, estimatedWaitMs: 0 } },
      [pause(30), send],
    ],
    [
      'ServerIsBusy for too long',
      { serverIsBusy: { reason: '', backoffMs: 100n, estimatedWaitMs: 0 } },
      [fail('TIKV_BUSY')],
    ],
    ['StaleCommand', { staleCommand: {} }, [pause(2), send]],
    [
      'RaftEntryTooLarge',
      { raftEntryTooLarge: { regionId: 7n, entrySize: 9_000_000n } },
      [fail('TIKV_ENTRY_TOO_LARGE')],
    ],
    ['MaxTimestampNotSynced', { maxTimestampNotSynced: {} }, [pause(2), send]],
    ['ReadIndexNotReady', { readIndexNotReady: { reason: '', regionId: 7n } }, [pause(2), send]],
    ['ProposalInMergingMode', { proposalInMergingMode: { regionId: 7n } }, [pause(2), send]],
    ['DataIsNotReady', { dataIsNotReady: { regionId: 7n, peerId: 1n, safeTs: 0n } }, [pause(2), send]],
    ['RegionNotInitialized', { regionNotInitialized: { regionId: 7n } }, [pause(2), send]],
    ['DiskFull', { diskFull: { storeId: [1n], reason: '' } }, [pause(2), send]],
    ['RecoveryInProgress', { RecoveryInProgress: { regionId: 7n } }, [pause(2), send]],
    ['FlashbackInProgress', { FlashbackInProgress: { regionId: 7n, flashbackStartTs: 0n } }, [fail('TIKV_FLASHBACK')]],
    ['FlashbackNotPrepared', { FlashbackNotPrepared: { regionId: 7n } }, [fail('TIKV_FLASHBACK')]],
    ['IsWitness', { isWitness: { regionId: 7n } }, [drop, pause(2), send]],
    ['BucketVersionNotMatch', { bucketVersionNotMatch: { version: 1n, keys: [] } }, [drop, pause(2), send]],
    ['one that is not known yet', {}, [drop, pause(2), send]],
  ]
  test.each(table)('%s', (_, error, effects) => {
    expect(step(read, answered(error)).effects).toEqual(effects)
  })

  test('EpochNotMatch with regions: they are taken over, led by the store that told them', () => {
    const { effects } = step(
      read,
      answered({ epochNotMatch: { currentRegions: [region(6n, 'm'), region(6n, '', 8n)] } }),
    )
    expect(effects).toEqual([
      drop,
      {
        type: 'insertRegions',
        regions: [
          expect.objectContaining({ id: 7n, start: Buffer.from('m'), leader: { id: 11n, storeId: 1n } }) as unknown,
          expect.objectContaining({ id: 8n, leader: { id: 11n, storeId: 1n } }) as unknown,
        ],
      },
      send,
    ])
  })

  test('only StaleCommand leaves open whether a write was applied', () => {
    for (const [, error] of table)
      expect(step(write, answered(error)).state.undetermined).toBe(error.staleCommand !== undefined)
  })
})

describe('calls without an answer', () => {
  test('a refused connection: another peer at once, and pauses only from the second on', () => {
    const event: CallEvent = { ...moment, type: 'unreachable', message: 'ECONNREFUSED', sent }
    const first = step(write, event)
    expect(first.effects).toEqual([unreachable, drop, send])
    expect(first.state.undetermined).toBe(false)
    expect(step(first.state, event).effects).toEqual([unreachable, drop, pause(4), send])
  })

  test('a lost connection leaves a write undetermined, a read not', () => {
    const event: CallEvent = { ...moment, type: 'unanswered', message: 'reset', sent }
    expect(step(write, event).state.undetermined).toBe(true)
    expect(step(read, event).state.undetermined).toBe(false)
  })

  test('undetermined stays so, whatever is answered later', () => {
    const { state } = step(write, { ...moment, type: 'unanswered', message: 'reset', sent })
    expect(step(state, { ...moment, type: 'refused', message: 'max key size' }).effects).toEqual([
      fail('TIKV_REFUSED', true),
    ])
    expect(step(state, { now: 100, random: 0, type: 'pdFailed', message: 'PD' }).effects).toEqual([
      fail('TIKV_UNDETERMINED', true),
    ])
  })

  test('a store that is gone for good is forgotten with its regions', () => {
    expect(step(read, { ...moment, type: 'tombstone', sent }).effects).toEqual([dropStore, drop, pause(2), send])
  })

  test('the sentence of a server is an answer: no more tries', () => {
    expect(step(read, { ...moment, type: 'refused', message: 'ttl is not enabled' }).effects).toEqual([
      fail('TIKV_REFUSED'),
    ])
  })
})

describe('every call ends', () => {
  const busy = answered({ RecoveryInProgress: { regionId: 7n } })

  test('pauses double and never go beyond the deadline', () => {
    const pauses: number[] = []
    let state: CallState = read
    let now = 0
    for (;;) {
      const next = step(state, { ...busy, now })
      state = next.state
      const waited = next.effects.find(({ type }) => type === 'pause')
      if (waited?.type !== 'pause') {
        expect(next.effects).toEqual([fail('TIKV_UNAVAILABLE')])
        break
      }
      pauses.push(waited.ms)
      now += waited.ms
    }
    expect(pauses).toEqual([2, 4, 8, 16, 32])
    expect(now).toBeLessThan(100)
  })

  test('also where a store answers at once, for ever', () => {
    let state: CallState = begin(1e9, false)
    let tries = 0
    while (step(state, busy).effects.some(({ type }) => type === 'send')) {
      state = step(state, busy).state
      tries++
    }
    expect(tries).toBe(TRIES_MAX - 1)
  })

  test('two peers that name each other as leader are not asked in a tight loop', () => {
    const other = answered({ notLeader: { regionId: 7n, leader: peer(12n, 2n) } })
    let state: CallState = read
    const waits: boolean[] = []
    for (let i = 0; i < 4; i++) {
      const next = step(state, other)
      waits.push(next.effects.some(({ type }) => type === 'pause'))
      state = next.state
    }
    expect(waits).toEqual([false, false, true, true])
  })
})
