/** Defaults of a job's settings and the rules they must keep. Every duration is in ms. */
import { DEFAULT_MAX_PARALLELISM, WeirError } from '@weir/model'
import type { CommitSettings, JobSettings } from './graph.ts'
import { DIAGNOSIS_CODES } from './doctor/diagnosis.ts'
import { defaultRestart, validateRestart } from './restart.ts'

export const defaultSettings: JobSettings = {
  parallelism: 1,
  maxParallelism: DEFAULT_MAX_PARALLELISM,
  checkpoint: {
    intervalMs: 10_000,
    everyRecords: 500,
    minPauseMs: 1_000,
    alignTimeoutMs: 120_000,
    toleratedAborts: 3,
    unaligned: false,
    alignedTimeoutMs: null,
    retained: 3,
  },
  commit: { scope: 'epoch' },
  transactionTimeoutMs: 900_000,
  recoveryBudgetMs: 180_000,
  restart: defaultRestart,
  arbiter: 'etcd',
  deadLetters: null,
  audit: null,
}

/** Key groups are stored as 16-bit numbers. */
const MAX_PARALLELISM_BOUND = 32_768
/** Each kept epoch is a line in every manifest. */
export const RETAINED_MAX = 100
/** Bounds of `commit.intervalMs`: below, a transaction costs more than what is in it. */
const COMMIT_INTERVAL_MS_MIN = 20
const COMMIT_INTERVAL_MS_MAX = 10_000
export const COMMIT_INTERVAL_MS_DEFAULT = 100
/** Bound of `bufferTimeoutMs`: whoever wants records to wait longer has mistaken the unit. */
const BUFFER_TIMEOUT_MS_MAX = 60_000
/** Default of `checkpoint.circuit.pauseMsMax`, where the transaction timeout leaves room for it. */
const CIRCUIT_PAUSE_MS_MAX = 600_000
const CIRCUIT_FAILURES_BOUND = 1_000
/** Longest time any setting may name: what `setTimeout` can hold. */
export const DURATION_MS_MAX = 2_147_483_647

/** Throws WeirError `SETTINGS_INVALID` (invalid) naming setting, value and rule. */
export function validateSettings(settings: JobSettings): void {
  const { parallelism, maxParallelism, checkpoint, commit, transactionTimeoutMs, recoveryBudgetMs, restart } = settings
  whole('maxParallelism', maxParallelism, 1, MAX_PARALLELISM_BOUND)
  whole('parallelism', parallelism, 1, maxParallelism)
  whole('checkpoint.intervalMs', checkpoint.intervalMs, 10, DURATION_MS_MAX)
  if (checkpoint.everyRecords !== null) {
    whole('checkpoint.everyRecords', checkpoint.everyRecords, 1, Number.MAX_SAFE_INTEGER)
  }
  whole('checkpoint.minPauseMs', checkpoint.minPauseMs, 0, DURATION_MS_MAX)
  whole('checkpoint.alignTimeoutMs', checkpoint.alignTimeoutMs, 1, DURATION_MS_MAX)
  whole('checkpoint.toleratedAborts', checkpoint.toleratedAborts, 0, 100)
  oneOf('traceContext', settings.traceContext ?? false, [true, false])
  validateTraces(settings.traces)
  oneOf('checkpoint.mode', checkpoint.mode ?? 'barrier', ['barrier', 'watermark'])
  if (checkpoint.cutBoundMs !== undefined) whole('checkpoint.cutBoundMs', checkpoint.cutBoundMs, 1, DURATION_MS_MAX)
  oneOf('checkpoint.unaligned', checkpoint.unaligned, [true, false])
  if (checkpoint.alignedTimeoutMs !== null) {
    whole('checkpoint.alignedTimeoutMs', checkpoint.alignedTimeoutMs, 0, checkpoint.alignTimeoutMs - 1)
  }
  whole('checkpoint.retained', checkpoint.retained ?? 1, 1, RETAINED_MAX)
  validateCommit(commit)
  whole('transactionTimeoutMs', transactionTimeoutMs, 1, DURATION_MS_MAX)
  whole('recoveryBudgetMs', recoveryBudgetMs, 0, DURATION_MS_MAX)
  validateRestart(restart)
  if (settings.bufferTimeoutMs !== undefined) {
    whole('bufferTimeoutMs', settings.bufferTimeoutMs, 0, BUFFER_TIMEOUT_MS_MAX)
  }
  oneOf('failover', settings.failover ?? 'region', ['region', 'full'])
  oneOf('degradable', settings.degradable ?? false, [true, false])
  validateDegradable(settings)
  oneOf('arbiter', settings.arbiter, ['etcd', 's3'])
  if (settings.metadata !== undefined) {
    oneOf('metadata.primary', settings.metadata.primary, ['etcd'])
    oneOf('metadata.fallback', settings.metadata.fallback, ['s3'])
    oneOf('metadata.consistency', settings.metadata.consistency, ['strong'])
    // Two settings that say different things: neither is taken.
    oneOf('arbiter', settings.arbiter, ['etcd'])
  }
  for (const code of settings.acceptUnsafe ?? []) oneOf('acceptUnsafe', code, DIAGNOSIS_CODES)
  validateTransactionTimeout(settings)
  validateCircuit(settings)
}

function validateCommit(commit: CommitSettings): void {
  if (commit.scope === 'continuous') {
    whole('commit.intervalMs', commit.intervalMs, COMMIT_INTERVAL_MS_MIN, COMMIT_INTERVAL_MS_MAX)
  } else if (commit.scope !== 'epoch') {
    const { scope } = commit as { scope: unknown }
    throw new WeirError(
      { code: 'SETTINGS_INVALID', kind: 'invalid', setting: 'commit.scope', got: scope },
      `commit.scope is ${JSON.stringify(scope)}; it must be "epoch" or "continuous".`,
    )
  }
}

function validateDegradable({ degradable, commit }: JobSettings): void {
  if (degradable === true && commit.scope === 'continuous') {
    throw new WeirError(
      { code: 'SETTINGS_INVALID', kind: 'invalid', setting: 'degradable', got: true },
      'degradable is true and commit.scope "continuous": what is committed there is ahead of the last barrier, so records read again ' +
        'could meet the switch where it stood otherwise. Leave degradable out, or use the scope "epoch".',
    )
  }
}

/**
 * PROTOCOL B1: a prepared transaction must outlive every epoch that may be given up behind it, and the recovery after
 * that; a shorter timeout lets the broker abort output that an epoch has published.
 */
function validateTransactionTimeout({ checkpoint, transactionTimeoutMs, recoveryBudgetMs }: JobSettings): void {
  const epochs = checkpoint.toleratedAborts + 1
  const neededMs = epochs * (checkpoint.intervalMs + checkpoint.alignTimeoutMs) + recoveryBudgetMs
  if (transactionTimeoutMs < neededMs) {
    throw new WeirError(
      { code: 'SETTINGS_INVALID', kind: 'invalid', setting: 'transactionTimeoutMs', transactionTimeoutMs, neededMs },
      `transactionTimeoutMs is ${transactionTimeoutMs} and must be at least ${neededMs} = (toleratedAborts ` +
        `${checkpoint.toleratedAborts} + 1) × (intervalMs ${checkpoint.intervalMs} + alignTimeoutMs ` +
        `${checkpoint.alignTimeoutMs}) + recoveryBudgetMs ${recoveryBudgetMs}: otherwise the broker may abort output ` +
        'that an epoch has already published. Raise it (and transaction.max.timeout.ms at the broker), or lower one ' +
        'of the others.',
    )
  }
}

/** Mode `watermark`: how far the cut may be ahead of the slowest source; null in mode `barrier`. */
export function cutBoundMsOf({ checkpoint }: JobSettings): number | null {
  if (checkpoint.mode !== 'watermark') return null
  return checkpoint.cutBoundMs ?? Math.ceil(checkpoint.alignTimeoutMs / 2)
}

/** With its defaults. */
export function circuitOf(settings: JobSettings): { readonly failures: number; readonly pauseMsMax: number } {
  const { toleratedAborts, circuit } = settings.checkpoint
  const { failures = toleratedAborts + 1, pauseMsMax = Math.min(CIRCUIT_PAUSE_MS_MAX, pauseRoomMs(settings)) } =
    circuit ?? {}
  return { failures, pauseMsMax }
}

/** What B1 leaves for the time to the first trigger of an attempt that tries one epoch only. */
const pauseRoomMs = ({ checkpoint, transactionTimeoutMs, recoveryBudgetMs }: JobSettings): number =>
  transactionTimeoutMs - recoveryBudgetMs - checkpoint.alignTimeoutMs

function validateCircuit(settings: JobSettings): void {
  const { checkpoint, transactionTimeoutMs, recoveryBudgetMs } = settings
  const { failures, pauseMsMax } = checkpoint.circuit ?? {}
  if (failures !== undefined) whole('checkpoint.circuit.failures', failures, 1, CIRCUIT_FAILURES_BOUND)
  if (pauseMsMax === undefined) return
  whole('checkpoint.circuit.pauseMsMax', pauseMsMax, checkpoint.intervalMs, DURATION_MS_MAX)
  const roomMs = pauseRoomMs(settings)
  if (pauseMsMax <= roomMs) return
  const setting = 'checkpoint.circuit.pauseMsMax'
  throw new WeirError(
    { code: 'SETTINGS_INVALID', kind: 'invalid', setting, got: pauseMsMax, roomMs },
    `${setting} is ${pauseMsMax} and must be at most ${roomMs} = transactionTimeoutMs ${transactionTimeoutMs} − ` +
      `alignTimeoutMs ${checkpoint.alignTimeoutMs} − recoveryBudgetMs ${recoveryBudgetMs}: otherwise the broker may abort ` +
      'what an attempt has open while its first checkpoint waits. Lower it, or raise transactionTimeoutMs.',
  )
}

function validateTraces(traces: JobSettings['traces']): void {
  if (traces === undefined) return
  const { sampleRate } = traces
  if (typeof sampleRate === 'number' && sampleRate >= 0 && sampleRate <= 1) return
  const got = typeof sampleRate === 'number' ? sampleRate : typeof sampleRate
  throw new WeirError(
    { code: 'SETTINGS_INVALID', kind: 'invalid', setting: 'traces.sampleRate', got },
    `traces.sampleRate is ${got}; it must be the part of all records to trace, from 0 to 1, e.g. 0.001.`,
  )
}

function whole(setting: string, value: unknown, min: number, max: number): void {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return
  const got = typeof value === 'number' ? value : value === null ? 'null' : typeof value
  throw new WeirError(
    { code: 'SETTINGS_INVALID', kind: 'invalid', setting, got },
    `${setting} is ${got}; it must be a whole number from ${min} to ${max}.`,
  )
}

function oneOf(setting: string, value: unknown, allowed: readonly (string | boolean)[]): void {
  if (allowed.includes(value as string | boolean)) return
  const got = typeof value === 'string' ? `"${value}"` : typeof value
  throw new WeirError(
    { code: 'SETTINGS_INVALID', kind: 'invalid', setting, got },
    `${setting} is ${got}; it must be one of ${allowed.join(', ')}.`,
  )
}
