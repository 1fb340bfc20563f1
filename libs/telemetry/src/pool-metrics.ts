/** Pools of connections, in Prometheus form: those of this thread, asked at a scrape, and those that other threads have told of. */
import { samplePools, sumOfPools, type PoolSample } from '@weir/model'
import { Counter, Gauge, type Registry } from 'prom-client'

export class PoolMetrics {
  readonly #exhausted: Counter
  readonly #told = new Map<object, readonly PoolSample[]>()
  readonly #known = new Set<string>()
  /** As of the scrape: every gauge shows the same moment. */
  #now: readonly PoolSample[] = []

  /** @param own of this thread; nobody else samples them */
  constructor(registry: Registry, own: () => readonly PoolSample[] = samplePools) {
    const registers = [registry]
    // Registered first, so that it is collected first: it asks, the others show.
    const gather = (): void => {
      const here = own()
      this.#count(here)
      this.#now = sumOfPools([...here, ...[...this.#told.values()].flat()])
    }
    this.#exhausted = new Counter({
      name: 'weir_pool_exhausted_seconds_total',
      help: 'Time for which requests waited because all connections of a pool were taken, over the pools of that name in the process',
      labelNames: ['pool'],
      registers,
      collect: gather,
    })
    this.#gauge(registry, 'weir_pool_connections_open', 'Connections of a pool', ({ open }) => open)
    this.#gauge(
      registry,
      'weir_pool_connections_busy',
      'Connections in use; of Kafka, Redis and etcd, where requests share a connection: requests that wait for their answers',
      ({ busy }) => busy,
    )
    this.#gauge(
      registry,
      'weir_pool_connections_max',
      'Connections that a pool may have, where it has a bound',
      ({ max }) => max,
    )
    this.#gauge(
      registry,
      'weir_pool_waiting_requests',
      'Requests for which a pool has no connection',
      ({ waiting }) => waiting,
    )
  }

  /** @param by which thread; what it told before is over */
  told(by: object, samples: readonly PoolSample[]): void {
    this.#count(samples)
    this.#told.set(by, samples)
  }

  /** The thread is gone, and its connections with it. */
  forget(by: object): void {
    this.#told.delete(by)
  }

  #count(samples: readonly PoolSample[]): void {
    for (const { pool, exhaustedMs } of samples) {
      if (exhaustedMs > 0 || !this.#known.has(pool)) this.#exhausted.inc({ pool }, exhaustedMs / 1_000)
      this.#known.add(pool)
    }
  }

  #gauge(registry: Registry, name: string, help: string, value: (sample: PoolSample) => number | null): void {
    const samples = (): readonly PoolSample[] => this.#now
    new Gauge({
      ...{ name, help, labelNames: ['pool'], registers: [registry] },
      collect() {
        this.reset()
        for (const sample of samples()) {
          const of = value(sample)
          if (of !== null) this.set({ pool: sample.pool }, of)
        }
      },
    })
  }
}
