/** The job-manager's settings, all from the environment. */
import { WeirError } from '@weir/model'
import { listenSettings, type ListenSettings } from '@weir/wire'

export interface JobManagerConfig {
  readonly listen: ListenSettings
  readonly mode: 'cluster' | 'embedded'
  readonly cluster: string
  /** Cluster mode. */
  readonly etcd: readonly string[]
  /** Embedded mode: everything lies here. */
  readonly dataDir: string
  readonly leaseSeconds: number
  /** `auto`: the object store decides with etcd where it honours conditional writes. `etcd`: never. */
  readonly arbiters: 'auto' | 'etcd'
  readonly logLevel: string
}

/** Leaders of one cluster may be configured differently: who waits for another's lease waits for this one. */
export const LEASE_SECONDS_MAX = 60

/** Throws `CONFIG_INVALID` (invalid) naming the variable. */
export function readConfig(env: NodeJS.ProcessEnv): JobManagerConfig {
  const mode = env['WEIR_MODE'] ?? 'cluster'
  if (mode !== 'cluster' && mode !== 'embedded') {
    throw invalid('WEIR_MODE', `WEIR_MODE=${mode}: give cluster (etcd and S3) or embedded (one folder)`)
  }
  const etcd = (env['WEIR_ETCD'] ?? '').split(',').filter((a) => a !== '')
  if (mode === 'cluster' && etcd.length === 0) {
    throw invalid(
      'WEIR_ETCD',
      'WEIR_ETCD is not set: give host:port of etcd, separated by commas, or WEIR_MODE=embedded',
    )
  }
  const leaseSeconds = Number(env['WEIR_LEASE_SECONDS'] ?? '3')
  if (!Number.isInteger(leaseSeconds) || leaseSeconds < 2 || leaseSeconds > LEASE_SECONDS_MAX) {
    throw invalid(
      'WEIR_LEASE_SECONDS',
      `WEIR_LEASE_SECONDS=${env['WEIR_LEASE_SECONDS']}: give 2 … ${LEASE_SECONDS_MAX}`,
    )
  }
  const arbiters = env['WEIR_ARBITERS'] ?? 'auto'
  if (arbiters !== 'auto' && arbiters !== 'etcd') {
    throw invalid('WEIR_ARBITERS', `WEIR_ARBITERS=${arbiters}: give auto, or etcd (the object store decides nothing)`)
  }
  return {
    arbiters,
    listen: listenSettings(env),
    mode,
    cluster: env['WEIR_CLUSTER'] ?? 'default',
    etcd,
    dataDir: env['WEIR_DATA_DIR'] ?? '.weir/job-manager',
    leaseSeconds,
    logLevel: env['WEIR_LOG_LEVEL'] ?? 'info',
  }
}

const invalid = (variable: string, message: string): WeirError =>
  new WeirError({ code: 'CONFIG_INVALID', kind: 'invalid', variable }, message)
