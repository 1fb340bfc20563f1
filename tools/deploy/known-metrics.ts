/** What the processes of a fleet have to show a scrape: rules and dashboards may speak of nothing else. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Metrics, PoolMetrics, watchClaimTiers } from '@weir/telemetry'

const root = new URL('../../', import.meta.url).pathname
/** These register gauges of their own, by name. */
const MAINS = [
  'apps/job-manager/src/term.ts',
  'apps/job-manager/src/job-manager.ts',
  'apps/task-manager/src/program.ts',
  'apps/task-manager/src/dtxid.ts',
]

export async function knownMetrics(): Promise<ReadonlySet<string>> {
  const metrics = new Metrics('job-manager')
  metrics.watchJobs(() => [])
  new PoolMetrics(metrics.registry)
  const end = watchClaimTiers(metrics.registry)
  const registered = (await metrics.registry.getMetricsAsJSON()).flatMap(({ name, type }) =>
    String(type) === 'histogram' ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name],
  )
  end()
  const gauges = MAINS.flatMap((file) => readFileSync(join(root, file), 'utf8').match(/\bweir_[a-z_]+/g) ?? [])
  return new Set([...registered, ...gauges])
}

/** The metrics that an expression speaks of. */
export const metricsOf = (expr: string): readonly string[] =>
  expr.match(/\b(weir[_:]|http_|process_|nodejs_)[a-z0-9_:]+/g) ?? []
