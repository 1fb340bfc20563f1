/** What the tiers of claims do, in Prometheus form: they tell it on diagnostics channels, of the thread they run in. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Counter, Histogram, type Registry } from 'prom-client'

const TIER_SECONDS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1]

type Message = Readonly<Record<string, unknown>>

/** @returns ends it */
export function watchClaimTiers(registry: Registry): () => void {
  const registers = [registry]
  const keys = new Counter({
    name: 'weir_claims_tier_keys_total',
    help: 'Keys asked of a tier of claims, by whether it answered (hit) or handed them on (miss)',
    labelNames: ['namespace', 'tier', 'operation', 'outcome'],
    registers,
  })
  const seconds = new Histogram({
    name: 'weir_claims_tier_seconds',
    help: 'Time of a call to the remote tier of claims',
    labelNames: ['namespace', 'operation'],
    buckets: TIER_SECONDS,
    registers,
  })
  const unavailable = new Counter({
    name: 'weir_claims_unavailable_total',
    help: 'Keys for which the remote tier of claims did not answer, by what became of them: decided locally, or not',
    labelNames: ['namespace', 'decided'],
    registers,
  })
  const caughtUp = new Counter({
    name: 'weir_claims_caught_up_total',
    help: 'Claims decided without the remote tier that it has been told of',
    labelNames: ['namespace'],
    registers,
  })
  const conflicts = new Counter({
    name: 'weir_claims_conflicts_total',
    help: 'Claims decided without the remote tier that somebody else had there: both have passed',
    labelNames: ['namespace'],
    registers,
  })
  const setAside = new Counter({
    name: 'weir_claims_set_aside_total',
    help: 'Damaged local tiers of claims that were renamed and begun anew',
    registers,
  })
  /** Zeros come first: a series that begins with its first event has no increase by it. */
  const known = new Set<string>()
  const know = (namespace: unknown): void => {
    const of = String(namespace)
    if (known.has(of)) return
    known.add(of)
    for (const decided of ['locally', 'not']) unavailable.inc({ namespace: of, decided }, 0)
    caughtUp.inc({ namespace: of }, 0)
    conflicts.inc({ namespace: of }, 0)
  }
  const listeners: Record<string, (message: Message) => void> = {
    'weir:idempotency:tier': (message) => {
      const { namespace, tier, operation, hits, misses, durationMs } = message
      know(namespace)
      const of = { namespace: String(namespace), tier: String(tier), operation: String(operation) }
      keys.inc({ ...of, outcome: 'hit' }, Number(hits))
      keys.inc({ ...of, outcome: 'miss' }, Number(misses))
      if (tier === 'remote')
        seconds.observe({ namespace: of.namespace, operation: of.operation }, Number(durationMs) / 1_000)
    },
    'weir:idempotency:unavailable': ({ namespace, decided, keys: of }) => {
      know(namespace)
      unavailable.inc({ namespace: String(namespace), decided: String(decided) }, Number(of))
    },
    'weir:idempotency:caught-up': ({ namespace, keys: of, conflicts: twice }) => {
      caughtUp.inc({ namespace: String(namespace) }, Number(of))
      conflicts.inc({ namespace: String(namespace) }, Number(twice))
    },
    'weir:idempotency:set-aside': () => setAside.inc(),
  }
  const each = Object.entries(listeners).map(
    ([name, call]) => [name, (message: unknown) => call(message as Message)] as const,
  )
  for (const [name, listener] of each) subscribe(name, listener)
  return () => {
    for (const [name, listener] of each) unsubscribe(name, listener)
  }
}
