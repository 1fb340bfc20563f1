/** The task-manager's settings, all from the environment. */
import { kafkaSecurity } from '@weir/kafka'
import { trustedKeys } from '@weir/metadata'
import { WeirError } from '@weir/model'
import { listenSettings, type ListenSettings } from '@weir/wire'
import { readDtxIdConfig, type DtxIdConfig } from './dtxid.ts'

export interface TaskManagerConfig {
  readonly listen: ListenSettings
  readonly jobManagers: readonly string[]
  readonly slots: number
  readonly dataDir: string
  /** Of copies of state kept in `dataDir` for the next attempt; 0: none. */
  readonly copyBytesMax: number
  /** Of state values that are kept in memory, by all slots together. */
  readonly stateCacheBytes: number
  readonly logLevel: string
  /** Part of all records to trace, of jobs that do not say it; null: none, not even those whose producers do. */
  readonly traceSampleRate: number | null
  /** Null: no transaction ids are given out here. */
  readonly dtxid: DtxIdConfig | null
}

const COPY_BYTES_MAX = 2 * 1024 ** 3
const STATE_CACHE_BYTES = 512 * 1024 ** 2

/** Throws `CONFIG_INVALID` (invalid) naming the variable, `KEY_UNUSABLE` (invalid). */
export function readConfig(env: NodeJS.ProcessEnv): TaskManagerConfig {
  const jobManagers = (env['WEIR_JOB_MANAGERS'] ?? '').split(',').filter((a) => a !== '')
  if (jobManagers.length === 0) {
    throw new WeirError(
      { code: 'CONFIG_INVALID', kind: 'invalid', variable: 'WEIR_JOB_MANAGERS' },
      'WEIR_JOB_MANAGERS is not set: give host:port of the job-managers, separated by commas',
    )
  }
  const slots = Number(env['WEIR_SLOTS'] ?? '4')
  if (!Number.isInteger(slots) || slots < 1 || slots > 256) {
    throw new WeirError(
      { code: 'CONFIG_INVALID', kind: 'invalid', variable: 'WEIR_SLOTS', got: env['WEIR_SLOTS'] },
      `WEIR_SLOTS=${env['WEIR_SLOTS']}: give a whole number from 1 to 256`,
    )
  }
  // The slots read them; what is wrong is said before there is work.
  trustedKeys(env['WEIR_BUNDLE_KEYS'])
  kafkaSecurity(env)
  // Objects in a folder are on a disk of this machine: a copy would cost each epoch a second write, and spare nobody a read.
  const copyBytes = env['WEIR_OBJECTS_DIR'] ? 0 : COPY_BYTES_MAX
  const copyBytesMax = bytes(env, 'WEIR_LOCAL_COPY_BYTES', copyBytes, '0 for no copies')
  const stateCacheBytes = bytes(env, 'WEIR_STATE_CACHE_BYTES', STATE_CACHE_BYTES, '0 to read every value from the disk')
  return {
    listen: listenSettings(env),
    jobManagers,
    slots,
    dataDir: env['WEIR_DATA_DIR'] ?? '.weir/task-manager',
    copyBytesMax,
    stateCacheBytes,
    logLevel: env['WEIR_LOG_LEVEL'] ?? 'info',
    traceSampleRate: part(env, 'WEIR_TRACE_SAMPLE_RATE'),
    dtxid: readDtxIdConfig(env),
  }
}

/** Null: it is not set. */
function part(env: NodeJS.ProcessEnv, variable: string): number | null {
  const got = env[variable]
  if (got === undefined || got === '') return null
  const value = Number(got)
  if (value >= 0 && value <= 1) return value
  throw new WeirError(
    { code: 'CONFIG_INVALID', kind: 'invalid', variable, got },
    `${variable}=${got}: give the part of all records to trace, 0 … 1`,
  )
}

function bytes(env: NodeJS.ProcessEnv, variable: string, otherwise: number, none: string): number {
  const got = env[variable]
  const value = Number(got ?? otherwise)
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new WeirError(
    { code: 'CONFIG_INVALID', kind: 'invalid', variable, got },
    `${variable}=${got}: give a whole number of bytes, ${none}`,
  )
}
