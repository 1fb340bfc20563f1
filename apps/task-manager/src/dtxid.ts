/**
 * Transaction ids as a service of this process, for those that put records in: `POST /api/v1/dtxids?count=N`. Operators of jobs have no
 * part in it: what they make is made again by a replay, and would be another id.
 */
import { EtcdWorkerIds, JobManagerClock, dtxIds63, dtxIds68, type DtxIds } from '@weir/idempotency'
import { WeirError } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import type { Logger, Metrics } from '@weir/telemetry'
import { channelCredentials, type TlsSettings } from '@weir/wire'

export interface DtxIdConfig {
  readonly datacenter: number
  readonly form: '63' | '68'
  readonly etcd: readonly string[]
  readonly cluster: string
}

const TTL_MS = 10_000

/** Null: not asked for. Throws `CONFIG_INVALID` (invalid) naming the variable. */
export function readDtxIdConfig(env: NodeJS.ProcessEnv): DtxIdConfig | null {
  const { WEIR_DTXID_DATACENTER: datacenter, WEIR_DTXID_FORM: form = '63' } = env
  if (datacenter === undefined || datacenter === '') return null
  if (!/^\d+$/.test(datacenter) || Number(datacenter) > 31) {
    throw invalid('WEIR_DTXID_DATACENTER', `WEIR_DTXID_DATACENTER=${datacenter}: give a whole number from 0 to 31`)
  }
  if (form !== '63' && form !== '68') throw invalid('WEIR_DTXID_FORM', `WEIR_DTXID_FORM=${form}: give 63 or 68 (bits)`)
  const etcd = (env['WEIR_ETCD'] ?? '').split(',').filter((at) => at !== '')
  if (etcd.length === 0) {
    throw invalid(
      'WEIR_ETCD',
      'WEIR_ETCD is not set: transaction ids lease their worker ids in etcd; give its host:port',
    )
  }
  return { datacenter: Number(datacenter), form, etcd, cluster: env['WEIR_CLUSTER'] ?? 'default' }
}

const invalid = (variable: string, message: string): WeirError =>
  new WeirError({ code: 'CONFIG_INVALID', kind: 'invalid', variable }, message)

export interface FleetAddress {
  readonly jobManagers: readonly string[]
  readonly token: string | null
  readonly tls: TlsSettings | null
}

/** Asks for a worker id from now on; ids are there when it has one. */
export function openDtxIds(
  config: DtxIdConfig,
  { jobManagers, token, tls }: FleetAddress,
  log: Logger,
): DtxIds<bigint> | DtxIds<string> {
  const { datacenter, etcd: hosts, cluster } = config
  const deps = {
    clock: systemClock,
    random: systemRandom,
    workers: new EtcdWorkerIds({ hosts, cluster, datacenter, ttlMs: TTL_MS }),
    fleet: new JobManagerClock({ jobManagers, token, credentials: channelCredentials(tls) }),
    failed: (what: string, error: unknown) => log.debug({ what, error }, 'transaction ids: no answer'),
  }
  const options = { datacenter, ttlMs: TTL_MS }
  return config.form === '63' ? dtxIds63(options, deps) : dtxIds68(options, deps)
}

export function watchDtxIds(metrics: Metrics, ids: DtxIds<bigint> | DtxIds<string>): void {
  metrics.gauge('weir_dtxid_worker', 'Worker id that this process holds; -1: none', () => ids.status.worker ?? -1)
  metrics.gauge('weir_dtxid_drift_seconds', "Local clock less the fleet's", () => ids.status.driftMs / 1_000)
  metrics.gauge(
    'weir_dtxid_compensation_steps_total',
    'Corrections of the local clock by more than is allowed',
    () => ids.status.compensationSteps,
  )
  metrics.gauge(
    'weir_dtxid_doubts_total',
    'Times the local clock ran ahead, and ids waited for etcd and the fleet',
    () => ids.status.doubts,
  )
  metrics.gauge(
    'weir_dtxid_sequence_overflows_total',
    'Milliseconds that had no sequence left',
    () => ids.status.sequenceOverflows,
  )
  metrics.gauge('weir_dtxid_leases_lost_total', 'Worker ids that were lost', () => ids.status.leasesLost)
  metrics.gauge(
    'weir_dtxid_unwitnessed_total',
    "Times of a job-manager that were not followed: far from what was known and from this machine's clock",
    () => ids.status.unwitnessed,
  )
}
