import { channel } from 'node:diagnostics_channel'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { watchClaimTiers } from './claim-tiers.ts'

const tell = (name: string, message: object): void => channel(`weir:idempotency:${name}`).publish(message)

test('what tiers tell is counted, until nobody listens any more', async () => {
  const registry = new Registry()
  const end = watchClaimTiers(registry)
  const of = { namespace: 'n', operation: 'claim' }
  tell('tier', { ...of, tier: 'memory', hits: 3, misses: 2, durationMs: 0 })
  tell('tier', { ...of, tier: 'remote', hits: 2, misses: 0, durationMs: 4 })
  tell('unavailable', { namespace: 'n', decided: 'locally', keys: 5 })
  tell('caught-up', { namespace: 'n', keys: 5, conflicts: 1 })
  tell('set-aside', { folder: '/a', aside: '/b', why: 'x' })
  end()
  tell('caught-up', { namespace: 'n', keys: 100, conflicts: 100 })
  const text = await registry.metrics()
  for (const line of [
    'weir_claims_tier_keys_total{namespace="n",tier="memory",operation="claim",outcome="hit"} 3',
    'weir_claims_tier_keys_total{namespace="n",tier="memory",operation="claim",outcome="miss"} 2',
    'weir_claims_tier_seconds_bucket{le="0.005",namespace="n",operation="claim"} 1',
    'weir_claims_unavailable_total{namespace="n",decided="locally"} 5',
    'weir_claims_caught_up_total{namespace="n"} 5',
    'weir_claims_conflicts_total{namespace="n"} 1',
    'weir_claims_set_aside_total 1',
  ])
    expect(text).toContain(line)
})

test('what is alerted by its increase is there as zero before it happens', async () => {
  const registry = new Registry()
  const end = watchClaimTiers(registry)
  tell('tier', { namespace: 'n', operation: 'claim', tier: 'remote', hits: 1, misses: 0, durationMs: 1 })
  end()
  const text = await registry.metrics()
  for (const line of [
    'weir_claims_unavailable_total{namespace="n",decided="locally"} 0',
    'weir_claims_conflicts_total{namespace="n"} 0',
    'weir_claims_set_aside_total 0',
  ])
    expect(text).toContain(line)
})
