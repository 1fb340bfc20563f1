/** The job-manager's settings, all from the environment. */
import { RETAINED_MAX, type Profile } from '@weir/dataflow'
import { trustedKeys, type TrustedKeys } from '@weir/metadata'
import { WeirError } from '@weir/model'
import { join } from 'node:path'
import { oidcSettings, type OidcSettings } from './auth/oidc.ts'
import { listenSettings, type ListenSettings } from '@weir/wire'
import { readRemediation, type RemediationConfig } from './remediation/config.ts'

export interface JobManagerConfig {
  readonly listen: ListenSettings
  readonly mode: 'cluster' | 'embedded'
  readonly cluster: string
  /** Cluster mode. */
  readonly etcd: readonly string[]
  /** Embedded mode: everything lies here. */
  readonly dataDir: string
  readonly leaseSeconds: number
  /** Epochs kept of every job, also of those that ask for fewer. */
  readonly retainedMin: number
  /** `auto`: the object store decides with etcd where it honours conditional writes. `etcd`: never. */
  readonly arbiters: 'auto' | 'etcd'
  /** Whether a job may start on servers that are unsafe (`preflight.ts`). */
  readonly profile: Profile
  readonly logLevel: string
  /** Null: nobody comes with a token of an issuer. */
  readonly oidc: OidcSettings | null
  /** Null: changes are in the process log only. */
  readonly auditFile: string | null
  /** Null: the audit file is sent nowhere. */
  readonly auditTopic: AuditTopicSettings | null
  /** An entry is on the disk before its change is made; false: the operating system writes it when it likes. */
  readonly auditSync: boolean
  /** Null: bundles need not be signed. */
  readonly trustedKeys: TrustedKeys | null
  /** Null: alerts change nothing. */
  readonly remediation: RemediationConfig | null
  /** What becomes of a job whose plan has what looks like a secret. */
  readonly plainSecrets: 'refuse' | 'warn'
}

export interface AuditTopicSettings {
  readonly topic: string
  /** host:port */
  readonly brokers: readonly string[]
  readonly waitingBytesMax: number
}

const AUDIT_WAITING_BYTES_MAX = 64 << 20

/** Leaders of one cluster may be configured differently: who waits for another's lease waits for this one. */
export const LEASE_SECONDS_MAX = 60

/** Throws `CONFIG_INVALID` (invalid) naming the variable, and as `readRemediation`. */
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
  const retainedMin = Number(env['WEIR_RETAINED_MIN'] ?? '1')
  if (!Number.isInteger(retainedMin) || retainedMin < 1 || retainedMin > RETAINED_MAX) {
    throw invalid('WEIR_RETAINED_MIN', `WEIR_RETAINED_MIN=${env['WEIR_RETAINED_MIN']}: give 1 … ${RETAINED_MAX}`)
  }
  const arbiters = env['WEIR_ARBITERS'] ?? 'auto'
  if (arbiters !== 'auto' && arbiters !== 'etcd') {
    throw invalid('WEIR_ARBITERS', `WEIR_ARBITERS=${arbiters}: give auto, or etcd (the object store decides nothing)`)
  }
  const profile = env['WEIR_PROFILE'] ?? (mode === 'embedded' ? 'development' : 'production')
  if (profile !== 'production' && profile !== 'development') {
    throw invalid('WEIR_PROFILE', `WEIR_PROFILE=${profile}: give production, or development (one broker will do)`)
  }
  const dataDir = env['WEIR_DATA_DIR'] ?? '.weir/job-manager'
  const sync = env['WEIR_AUDIT_FSYNC'] ?? 'always'
  if (sync !== 'always' && sync !== 'never') {
    throw invalid('WEIR_AUDIT_FSYNC', `WEIR_AUDIT_FSYNC=${sync}: give always (each entry, before its change) or never`)
  }
  const plainSecrets = env['WEIR_PLAIN_SECRETS'] ?? 'refuse'
  if (plainSecrets !== 'refuse' && plainSecrets !== 'warn') {
    throw invalid('WEIR_PLAIN_SECRETS', `WEIR_PLAIN_SECRETS=${plainSecrets}: give refuse, or warn`)
  }
  const auditFile = env['WEIR_AUDIT_FILE'] || (mode === 'embedded' ? join(dataDir, 'audit.ndjson') : null)
  return {
    auditTopic: auditTopic(env, auditFile),
    plainSecrets,
    oidc: oidcSettings(env),
    remediation: readRemediation(env),
    auditFile,
    trustedKeys: trustedKeys(env['WEIR_BUNDLE_KEYS']),
    auditSync: sync === 'always',
    arbiters,
    profile,
    listen: listenSettings(env),
    mode,
    cluster: env['WEIR_CLUSTER'] ?? 'default',
    etcd,
    dataDir,
    leaseSeconds,
    retainedMin,
    logLevel: env['WEIR_LOG_LEVEL'] ?? 'info',
  }
}

function auditTopic(env: NodeJS.ProcessEnv, auditFile: string | null): AuditTopicSettings | null {
  const topic = env['WEIR_AUDIT_TOPIC'] || null
  if (topic === null) return null
  if (auditFile === null) {
    throw invalid(
      'WEIR_AUDIT_FILE',
      'WEIR_AUDIT_TOPIC needs WEIR_AUDIT_FILE: entries wait there, on a disk that outlives the process, until a broker has them',
    )
  }
  const brokers = (env['WEIR_KAFKA_BROKERS'] ?? '').split(',').filter((at) => at !== '')
  if (brokers.length === 0) {
    throw invalid(
      'WEIR_KAFKA_BROKERS',
      'WEIR_AUDIT_TOPIC needs WEIR_KAFKA_BROKERS: give host:port, separated by commas',
    )
  }
  const waitingBytesMax = Number(env['WEIR_AUDIT_WAITING_BYTES'] ?? AUDIT_WAITING_BYTES_MAX)
  if (!Number.isSafeInteger(waitingBytesMax) || waitingBytesMax < 1) {
    throw invalid(
      'WEIR_AUDIT_WAITING_BYTES',
      `WEIR_AUDIT_WAITING_BYTES=${env['WEIR_AUDIT_WAITING_BYTES']}: give a whole number of bytes from 1`,
    )
  }
  return { topic, brokers, waitingBytesMax }
}

const invalid = (variable: string, message: string): WeirError =>
  new WeirError({ code: 'CONFIG_INVALID', kind: 'invalid', variable }, message)
