/** The running sum under other conditions, each beside those it is held against. */
import { flink, kafkaStreams, loop, weir, type Contender } from './contenders.ts'
import { USUAL } from './works.ts'

const MANY_KEYS = { ...USUAL, users: 1_000_000 }
const ONE_PARTITION = { ...USUAL, partitions: 1 }
const MANY_PARTITIONS = { ...USUAL, partitions: 64 }
/** A fraction of what a million keys take, so that most of them are read from the disk. Flink's RocksDB has 128 MiB by default. */
const STATE_CACHE_BYTES = 8 << 20
const usual = { layout: 'one-process', onLost: 'fail' } as const
const fleet = { layout: 'fleet', onLost: 'fail' } as const

/** By scenario. */
export const SCALING: Readonly<Record<string, readonly Contender[]>> = {
  keys: [
    weir('Weir, 10,000 keys', usual),
    weir('Weir, 1 M keys', { ...usual, shape: MANY_KEYS }),
    loop('Node loop, two threads, shuffled', '../keyed-sum.mesh.ts'),
    loop('Node loop, two threads, shuffled, 1 M keys', '../keyed-sum.mesh.ts', MANY_KEYS),
    weir('Weir, keyedBySource, 1 M keys', { ...usual, shuffle: false, shape: MANY_KEYS }),
    flink('Flink, tuned, 1 M keys', { tuned: true, shape: MANY_KEYS }),
    kafkaStreams('Kafka Streams, tuned, 1 M keys', { tuned: true, shape: MANY_KEYS }),
  ],
  disk: [
    weir('Weir, LevelDB', { ...usual, shape: MANY_KEYS, stateCacheBytes: STATE_CACHE_BYTES }),
    flink('Flink, tuned, RocksDB', { tuned: true, store: 'rocksdb', shape: MANY_KEYS }),
    kafkaStreams('Kafka Streams, tuned, RocksDB', { tuned: true, store: 'rocksdb', shape: MANY_KEYS }),
  ],
  partitions: [
    weir('Weir, 1 partition', { ...usual, shape: ONE_PARTITION }),
    weir('Weir, 4 partitions', usual),
    weir('Weir, 64 partitions', { ...usual, shape: MANY_PARTITIONS }),
  ],
  // With --records 6000000: of 2,000,000 there are four commits, and one more or less between the first and the last is a third.
  'task-managers': [
    weir('Weir, 1 task-manager of 1 slot', { ...fleet, slots: 1, parallelism: 1 }),
    weir('Weir, 1 task-manager of 2 slots', fleet),
    weir('Weir, 2 task-managers of 1 slot', { ...fleet, taskManagers: 2, slots: 1 }),
  ],
  loops: [
    weir('Weir, fail', usual),
    loop('Node loop, two threads, shuffled', '../keyed-sum.mesh.ts'),
    weir('Weir, keyedBySource, fail', { ...usual, shuffle: false }),
    loop('Node loop, one thread', '../keyed-sum.loop.ts'),
  ],
}
