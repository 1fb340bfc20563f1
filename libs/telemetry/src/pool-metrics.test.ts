import type { PoolSample } from '@weir/model'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { PoolMetrics } from './pool-metrics.ts'

const sample = (
  pool: string,
  busy: number,
  waiting: number,
  exhaustedMs: number,
  max: number | null = 4,
): PoolSample => {
  return { pool, open: busy, busy, waiting, max, exhaustedMs }
}
const shown = async (registry: Registry): Promise<string[]> =>
  (await registry.metrics()).split('\n').filter((line) => line.startsWith('weir_'))

test('a scrape shows the pools of all threads as one, and time of exhaustion adds up also over threads that are gone', async () => {
  const registry = new Registry()
  let own = [sample('s3', 1, 0, 0)]
  const metrics = new PoolMetrics(registry, () => own)
  const [one, other] = [{}, {}]
  metrics.told(one, [sample('postgres-claims', 4, 3, 1_500)])
  metrics.told(other, [sample('postgres-claims', 2, 0, 0), sample('kafka', 5, 0, 0, null)])
  expect(await shown(registry)).toEqual([
    'weir_pool_exhausted_seconds_total{pool="postgres-claims"} 1.5',
    'weir_pool_exhausted_seconds_total{pool="kafka"} 0',
    'weir_pool_exhausted_seconds_total{pool="s3"} 0',
    'weir_pool_connections_open{pool="s3"} 1',
    'weir_pool_connections_open{pool="postgres-claims"} 6',
    'weir_pool_connections_open{pool="kafka"} 5',
    'weir_pool_connections_busy{pool="s3"} 1',
    'weir_pool_connections_busy{pool="postgres-claims"} 6',
    'weir_pool_connections_busy{pool="kafka"} 5',
    'weir_pool_connections_max{pool="s3"} 4',
    'weir_pool_connections_max{pool="postgres-claims"} 8',
    'weir_pool_waiting_requests{pool="s3"} 0',
    'weir_pool_waiting_requests{pool="postgres-claims"} 3',
    'weir_pool_waiting_requests{pool="kafka"} 0',
  ])
  metrics.forget(one)
  metrics.forget(other)
  own = [sample('s3', 4, 2, 250)]
  const lines = await shown(registry)
  expect(lines).toContain('weir_pool_exhausted_seconds_total{pool="postgres-claims"} 1.5')
  expect(lines).toContain('weir_pool_exhausted_seconds_total{pool="s3"} 0.25')
  expect(lines).toContain('weir_pool_waiting_requests{pool="s3"} 2')
  expect(lines.filter((line) => line.includes('connections_busy'))).toEqual(['weir_pool_connections_busy{pool="s3"} 4'])
})
