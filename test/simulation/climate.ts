/**
 * What a seed is like: its job, its weather, and which faults it is fond of. Everything a seed decides beforehand is here
 * as plain data; everything it decides on the way is in faults.ts. Four climates take turns, since a hole needs many
 * steps of one sort: dice that are fair to all kinds hardly ever throw the same three times.
 */
import { defaultSettings, type JobSettings } from '@weir/dataflow'
import { PARALLELISM, TWO_SOURCES, type Shape } from './job.ts'
import type { Weather } from './network.ts'
import { Chance } from './world.ts'

export type FaultKind = 'crash' | 'freeze' | 'partition' | 'outage' | 'jump' | 'expire' | 'depose' | 'restore'

/** Seeds from here on run a job of several pipeline regions; every fourth is otherwise like the seed so many below. */
export const REGIONS_FROM = 1_000_000

/** Seeds from here on run the job of the seed so many below, in epochs that are cut at an event time. */
export const WATERMARK_FROM = 2_000_000

/** Seeds from here on are otherwise like the seed so many below, with two sources. */
export const TWO_SOURCES_FROM = 3_000_000

/** Seeds from here on are otherwise like the seed so many below, with sources whose partitions wait for each other across subtasks. */
export const ALIGNED_FROM = 4_000_000

/** Seeds from here on are otherwise like the seed so many below, with a second source that is broadcast. */
export const BROADCAST_FROM = 5_000_000

/** Seeds from here on are otherwise like the seed so many below, on four partitions, and rescale at random moments. */
export const RESCALE_FROM = 6_000_000
const RESCALED_PARTITIONS = 4

export interface Climate {
  readonly shape: Shape
  readonly name: 'mixed' | 'registers' | 'transactions' | 'barriers' | 'regions'
  readonly settings: JobSettings
  /** Of the sources, event time. */
  readonly alignWithinMs?: number
  /** Of each topic that is read. */
  readonly partitions: number
  /** Mean time between two wishes for another parallelism, ms; 0: there are none. */
  readonly rescaleEveryMs: number
  readonly records: number
  readonly recordsPerSecond: number
  /** No fault begins after it, ms. */
  readonly untilMs: number
  /** Mean time between two faults, ms. */
  readonly everyMs: number
  /** How often each kind is drawn; 0: never. */
  readonly weights: Readonly<Record<FaultKind, number>>
  /** Of which processes faults are: the leader, any job-manager, any task-manager. */
  readonly victims: readonly ('leader' | 'manager' | 'worker')[]
  readonly outages: readonly ('etcd' | 's3' | 'kafka')[]
  /** Probability of a fault right behind a step of a protocol. */
  readonly lieInWait: number
  readonly weather: Weather
  /** A worse weather around one host. */
  readonly storm: { readonly host: string; readonly weather: Weather } | null
  /** How late control records come, ms. */
  readonly materialiseMs: readonly [number, number]
  /** Producer ids begin with it: near its end an epoch overflows soon. */
  readonly firstProducerEpoch: number
}

export function climateOf(seed: number): Climate {
  if (seed >= RESCALE_FROM) return rescaled(seed)
  if (seed >= BROADCAST_FROM) return { ...climateOfExchange(seed - BROADCAST_FROM), shape: 'broadcast' }
  if (seed >= ALIGNED_FROM) return aligned(seed)
  if (seed >= TWO_SOURCES_FROM) return ofTwoSources(seed)
  if (seed >= WATERMARK_FROM) return cutAtEventTimes(seed)
  if (seed >= REGIONS_FROM) return ofRegions(seed)
  return overtaking(climateOfExchange(seed), new Chance(seed, 6))
}

function rescaled(seed: number): Climate {
  const climate = climateOfExchange(seed - RESCALE_FROM)
  const rescaleEveryMs = new Chance(seed, 8).pick([1_000, 2_000, 5_000])
  return overtaking({ ...climate, partitions: RESCALED_PARTITIONS, rescaleEveryMs }, new Chance(seed, 6))
}

function aligned(seed: number): Climate {
  const climate = climateOfExchange(seed - ALIGNED_FROM)
  const c = new Chance(seed, 8)
  const shape = c.pick(['exchange', 'exchange', 'connect'] as const)
  // From less than one record on: then only the announcements let anybody go on.
  return overtaking({ ...climate, shape, alignWithinMs: c.pick([20, 200, 2_000]) }, new Chance(seed, 6))
}

function ofTwoSources(seed: number): Climate {
  const climate = climateOfExchange(seed - TWO_SOURCES_FROM)
  const shape = new Chance(seed, 8).pick([...TWO_SOURCES])
  const joined = { ...climate, shape }
  return shape === 'forward' ? joined : overtaking(joined, new Chance(seed, 6))
}

function cutAtEventTimes(seed: number): Climate {
  const climate = climateOfExchange(seed - WATERMARK_FROM)
  const { checkpoint } = climate.settings
  // So far ahead that some epochs come in time, some do not, and some are taken at their barriers.
  const cutBoundMs = new Chance(seed, 7).pick([1, 3]) * checkpoint.alignTimeoutMs + 500
  return {
    ...climate,
    settings: { ...climate.settings, checkpoint: { ...checkpoint, mode: 'watermark', cutBoundMs } },
  }
}

function ofRegions(seed: number): Climate {
  const climate = climateOfExchange(seed - REGIONS_FROM)
  const c = new Chance(seed, 6)
  const parallelism = c.pick([2, 3, 4])
  // Half of a short budget is the deadline of a failover: some are in time, some are not.
  const recoveryBudgetMs = c.pick([3_000, 8_000])
  const transactionTimeoutMs = climate.settings.transactionTimeoutMs + recoveryBudgetMs - 3_000
  const settings = { ...climate.settings, parallelism, recoveryBudgetMs, transactionTimeoutMs }
  if (seed % 4 === 0) return { ...climate, shape: 'regions', partitions: parallelism, settings }
  const intervalMs = c.pick([100, 200, 400])
  const checkpoint = { ...settings.checkpoint, intervalMs: Math.min(intervalMs, settings.checkpoint.intervalMs) }
  // The other half of them: a publish is late, or its answer lost, and slices fail meanwhile.
  const isAtPublish = c.is(0.5)
  // Task-managers fail one by one, with time to come back: around the steps of an epoch and of a recovery.
  return {
    ...climate,
    name: 'regions',
    shape: 'regions',
    partitions: parallelism,
    settings: { ...settings, checkpoint },
    everyMs: isAtPublish ? 20_000 : c.pick([1_000, 2_000, 4_000]),
    weights: {
      crash: c.pick([1, 3]),
      freeze: c.pick([0, 1, 2]),
      partition: c.pick([0, 1]),
      outage: c.pick([0, 0, 1]),
      expire: c.pick([0, 1]),
      depose: c.pick([0, 0, 0.3]),
      restore: 0,
      jump: 0.001,
    },
    victims: c.pick([['worker'], ['worker'], ['worker', 'worker', 'worker', 'leader']]),
    outages: ['s3', 'etcd', 'kafka'],
    lieInWait: isAtPublish ? c.pick([0.05, 0.1, 0.2]) : c.pick([0, 0.01, 0.03]),
    storm: isAtPublish
      ? {
          host: c.pick(['s3', 's3', 'etcd']),
          weather: { ...climate.weather, slow: 0.1, slowMs: [50, 2_500], lost: 0.1 },
        }
      : null,
  }
}

/** Whether barriers overtake is drawn apart: other seeds stay what they were, also those about registers and transactions. */
function overtaking(climate: Climate, c: Chance): Climate {
  if (!['mixed', 'barriers'].includes(climate.name) || !c.is(0.25)) return climate
  const { settings } = climate
  const checkpoint = { ...settings.checkpoint, unaligned: true, alignedTimeoutMs: c.pick([0, 0, 5, 50, 100]) }
  return { ...climate, settings: { ...settings, checkpoint } }
}

function climateOfExchange(seed: number): Climate {
  const c = new Chance(seed, 3)
  const name = (['mixed', 'registers', 'transactions', 'barriers'] as const)[seed % 4]!
  const weather: Weather = {
    latencyMs: [0.2, c.pick([2, 5, 20])],
    slow: c.pick([0, 0, 0.002, 0.01, 0.03]),
    slowMs: [50, c.pick([500, 3_000, 9_000])],
    lost: c.pick([0, 0, 0.002, 0.01]),
  }
  const stormAt = (hosts: readonly string[]): Climate['storm'] => ({
    host: c.pick(hosts),
    weather: {
      latencyMs: [0.2, c.pick([5, 50])],
      slow: c.pick([0.03, 0.1, 0.25]),
      slowMs: [20, c.pick([400, 1_500, 4_000, 9_000])],
      lost: c.pick([0, 0, 0.05, 0.1]),
    },
  })
  const untilMs = c.between(5_000, 20_000)
  const recordsPerSecond = c.pick([10, 15, 25])
  const records = Math.max(40, Math.round((untilMs / 1_000) * recordsPerSecond * c.between(0.4, 1)))
  const common = {
    shape: 'exchange' as const,
    partitions: PARALLELISM,
    rescaleEveryMs: 0,
    name,
    untilMs,
    recordsPerSecond,
    records,
    weather,
    firstProducerEpoch: 0,
  }
  switch (name) {
    case 'mixed':
      return {
        ...common,
        settings: settingsOf(c, { intervalMs: [300, 600, 1_000], alignTimeoutMs: [800, 2_000] }),
        everyMs: c.pick([500, 1_000, 2_000]),
        weights: {
          crash: c.pick([0, 1, 2, 4]),
          freeze: c.pick([0, 1, 2, 4]),
          partition: c.pick([0, 1, 3]),
          outage: c.pick([0, 1, 3]),
          expire: c.pick([0, 1, 3]),
          depose: c.pick([0, 0, 1]),
          restore: c.pick([0, 0, 0, 1]),
          jump: 1,
        },
        victims: ['leader', 'manager', 'worker', 'worker'],
        outages: ['etcd', 's3', 's3', 'kafka'],
        lieInWait: c.pick([0, 0.02, 0.1]),
        storm: c.is(0.3) ? stormAt(['etcd', 's3', 'kafka', 'tm0', 'jm0']) : null,
        materialiseMs: [0.2, c.pick([5, 5, 500])],
      }
    // Leaders against leaders: who may publish, and what is true?
    case 'registers':
      return {
        ...common,
        settings: settingsOf(c, { intervalMs: [200, 400], alignTimeoutMs: [800, 2_000] }),
        everyMs: c.pick([400, 800, 1_600]),
        weights: {
          crash: c.pick([0, 1, 2]),
          freeze: c.pick([0, 1, 3]),
          partition: c.pick([0, 1, 3]),
          outage: c.pick([0, 1, 2]),
          expire: c.pick([0, 0, 1]),
          depose: c.pick([0, 1, 3]),
          restore: c.pick([0, 0, 0, 1]),
          jump: 0.001,
        },
        victims: ['leader', 'leader', 'leader', 'manager'],
        outages: ['etcd', 's3'],
        lieInWait: c.pick([0, 0.05, 0.2]),
        storm: c.is(0.8) ? stormAt(['etcd', 'etcd', 's3']) : null,
        materialiseMs: [0.2, 5],
      }
    // Epochs that are given up, transactions that expire, recoveries that are cut short.
    case 'transactions':
      return {
        ...common,
        settings: settingsOf(c, { intervalMs: [200, 400], alignTimeoutMs: [150, 300, 1_000] }),
        everyMs: c.pick([300, 600, 1_200]),
        weights: {
          crash: c.pick([1, 2]),
          freeze: c.pick([0, 1]),
          partition: c.pick([0, 1, 2]),
          outage: c.pick([0, 1]),
          expire: c.pick([1, 3]),
          depose: c.pick([0, 0, 1]),
          restore: 0,
          jump: 0.001,
        },
        victims: ['leader', 'worker', 'worker', 'worker'],
        outages: ['kafka', 'kafka', 's3'],
        lieInWait: c.pick([0.02, 0.1, 0.25]),
        storm: c.is(0.7) ? stormAt(['kafka', 'kafka', 's3']) : null,
        materialiseMs: [0.2, c.pick([5, 200, 1_500])],
        firstProducerEpoch: c.pick([0, 0, EPOCH_NEAR_ITS_END]),
      }
    // Slow links and slow slices: barriers that wait, overtake and are given up.
    case 'barriers':
      return {
        ...common,
        recordsPerSecond: 40,
        records: Math.round(records * 1.5),
        settings: settingsOf(c, { intervalMs: [100, 250], alignTimeoutMs: [120, 300, 1_000] }),
        everyMs: c.pick([600, 1_500]),
        weights: {
          crash: 1,
          freeze: 3,
          partition: 1,
          outage: 0.001,
          expire: 0.001,
          depose: 0.001,
          restore: 0,
          jump: 0.001,
        },
        victims: ['worker'],
        outages: ['s3'],
        lieInWait: c.pick([0, 0.02]),
        storm: c.is(0.9) ? stormAt(['tm0', 'tm1', 'tm2', 's3']) : null,
        materialiseMs: [0.2, 5],
      }
  }
}

const EPOCH_NEAR_ITS_END = 32_755

function settingsOf(
  c: Chance,
  { intervalMs: intervals, alignTimeoutMs: timeouts }: { intervalMs: number[]; alignTimeoutMs: number[] },
): JobSettings {
  const intervalMs = c.pick(intervals)
  const alignTimeoutMs = c.pick(timeouts)
  const toleratedAborts = c.pick([1, 2, 3])
  const needed = (toleratedAborts + 1) * (intervalMs + alignTimeoutMs) + 3_000
  return {
    ...defaultSettings,
    arbiter: c.is(0.25) ? 's3' : 'etcd',
    parallelism: PARALLELISM,
    maxParallelism: 16,
    checkpoint: {
      ...defaultSettings.checkpoint,
      intervalMs,
      everyRecords: null,
      minPauseMs: 0,
      alignTimeoutMs,
      toleratedAborts,
    },
    transactionTimeoutMs: c.pick([needed, needed * 2, 60_000]),
    recoveryBudgetMs: 3_000,
    // The faults are many, the strategy is not what is judged here.
    restart: { attempts: 1_000, delayMs: 100 },
  }
}
