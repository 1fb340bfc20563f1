import { expect, test } from 'vitest'
import type { JobSettings } from './graph.ts'
import { thrown } from './operators/fixture.ts'
import { restartSettings, type RestartWish } from './restart.ts'
import { circuitOf, defaultSettings, validateSettings } from './settings.ts'

const withCheckpoint = (over: Partial<JobSettings['checkpoint']>): JobSettings => ({
  ...defaultSettings,
  checkpoint: { ...defaultSettings.checkpoint, ...over },
})

const withBackoff = (over: Omit<RestartWish & { strategy: 'exponential' }, 'strategy'>): JobSettings => ({
  ...defaultSettings,
  restart: restartSettings({ ...over, strategy: 'exponential' }),
})

const STRONG = { primary: 'etcd', fallback: 's3', consistency: 'strong' } as const

test('metadata in words is what the defaults do', () => {
  expect(() => validateSettings({ ...defaultSettings, metadata: STRONG })).not.toThrow()
})

test('every restart strategy has defaults that keep the rules; the form without a strategy is accepted as it is', () => {
  for (const strategy of ['fixed', 'exponential', 'failure-rate', 'none'] as const) {
    expect(() => validateSettings({ ...defaultSettings, restart: restartSettings({ strategy }) })).not.toThrow()
  }
  expect(restartSettings({ attempts: 3 })).toEqual({ attempts: 3, delayMs: 1_000 })
  expect(restartSettings()).toEqual(defaultSettings.restart)
})

test('a setting of another strategy is refused, naming those there are', () => {
  const restart = { ...restartSettings({ strategy: 'exponential' }), attempts: 3 } as never
  expect(thrown(() => validateSettings({ ...defaultSettings, restart })).message).toBe(
    'restart.attempts is 3; the strategy "exponential" has initialMs, maxMs, factor, jitter, resetAfterMs: remove it, or choose another strategy.',
  )
})

test('the defaults keep the rules, with 200 s to spare', () => {
  expect(() => validateSettings(defaultSettings)).not.toThrow()
  expect(() => validateSettings({ ...defaultSettings, transactionTimeoutMs: 700_000 })).not.toThrow()
})

test('a transaction timeout one millisecond below the budget is refused with all the numbers (B1)', () => {
  const error = thrown(() => validateSettings({ ...defaultSettings, transactionTimeoutMs: 699_999 }))
  expect(error).toMatchObject({
    code: 'SETTINGS_INVALID',
    kind: 'invalid',
    facts: { setting: 'transactionTimeoutMs', transactionTimeoutMs: 699_999, neededMs: 700_000 },
  })
  for (const number of ['699999', '700000', '10000', '120000', '180000', '(toleratedAborts 3 + 1)']) {
    expect(error.message).toContain(number)
  }
})

test('a pause of the circuit counts in the budget: the default keeps it, a longer one is refused with the numbers (B1)', () => {
  expect(circuitOf(defaultSettings)).toEqual({ failures: 4, pauseMsMax: 600_000 })
  expect(circuitOf({ ...defaultSettings, transactionTimeoutMs: 700_000 }).pauseMsMax).toBe(400_000)
  const pausing = (pauseMsMax: number): JobSettings => withCheckpoint({ circuit: { failures: 2, pauseMsMax } })
  expect(circuitOf(pausing(60_000))).toEqual({ failures: 2, pauseMsMax: 60_000 })
  expect(() => validateSettings(pausing(600_000))).not.toThrow()
  expect(thrown(() => validateSettings(pausing(600_001))).message).toContain(
    'checkpoint.circuit.pauseMsMax is 600001 and must be at most 600000 = transactionTimeoutMs 900000 − alignTimeoutMs 120000 − recoveryBudgetMs 180000',
  )
})

test('the budget scales down for short tests', () => {
  const short = withCheckpoint({ intervalMs: 200, alignTimeoutMs: 2_000, toleratedAborts: 1 })
  const settings = { ...short, transactionTimeoutMs: 10_000, recoveryBudgetMs: 5_600 }
  expect(() => validateSettings(settings)).not.toThrow()
  expect(thrown(() => validateSettings({ ...settings, recoveryBudgetMs: 5_601 })).code).toBe('SETTINGS_INVALID')
})

test.each<[string, JobSettings]>([
  ['parallelism', { ...defaultSettings, parallelism: 0 }],
  ['arbiter', { ...defaultSettings, arbiter: 'redis' as 's3' }],
  ['acceptUnsafe', { ...defaultSettings, acceptUnsafe: ['KAFKA_IS_FINE' as 'KAFKA_PROTOCOL'] }],
  ['bufferTimeoutMs', { ...defaultSettings, bufferTimeoutMs: -1 }],
  ['bufferTimeoutMs', { ...defaultSettings, bufferTimeoutMs: 60_001 }],
  ['bufferTimeoutMs', { ...defaultSettings, bufferTimeoutMs: 0.5 }],
  ['traces.sampleRate', { ...defaultSettings, traces: { sampleRate: 1.1 } }],
  ['traces.sampleRate', { ...defaultSettings, traces: { sampleRate: Number.NaN } }],
  ['failover', { ...defaultSettings, failover: 'none' as 'full' }],
  ['metadata.primary', { ...defaultSettings, metadata: { ...STRONG, primary: 's3' as 'etcd' } }],
  ['metadata.fallback', { ...defaultSettings, metadata: { ...STRONG, fallback: 'redis' as 's3' } }],
  ['metadata.consistency', { ...defaultSettings, metadata: { ...STRONG, consistency: 'eventual' as 'strong' } }],
  ['arbiter', { ...defaultSettings, metadata: STRONG, arbiter: 's3' }],
  ['parallelism', { ...defaultSettings, parallelism: 129 }],
  ['parallelism', { ...defaultSettings, parallelism: 1.5 }],
  ['maxParallelism', { ...defaultSettings, maxParallelism: 32_769 }],
  ['checkpoint.intervalMs', withCheckpoint({ intervalMs: Number.NaN })],
  ['checkpoint.everyRecords', withCheckpoint({ everyRecords: 0 })],
  ['checkpoint.minPauseMs', withCheckpoint({ minPauseMs: -1 })],
  ['checkpoint.toleratedAborts', withCheckpoint({ toleratedAborts: -1 })],
  ['checkpoint.unaligned', withCheckpoint({ unaligned: 'yes' as never })],
  ['checkpoint.alignedTimeoutMs', withCheckpoint({ alignedTimeoutMs: -1 })],
  ['checkpoint.alignedTimeoutMs', withCheckpoint({ alignedTimeoutMs: defaultSettings.checkpoint.alignTimeoutMs })],
  ['checkpoint.retained', withCheckpoint({ retained: 0 })],
  ['checkpoint.mode', withCheckpoint({ mode: 'time' as never })],
  ['checkpoint.cutBoundMs', withCheckpoint({ mode: 'watermark', cutBoundMs: 0 })],
  ['checkpoint.circuit.failures', withCheckpoint({ circuit: { failures: 0 } })],
  ['checkpoint.circuit.pauseMsMax', withCheckpoint({ circuit: { pauseMsMax: 9_999 } })],
  ['commit.scope', { ...defaultSettings, commit: { scope: 'always' } as never }],
  ['commit.intervalMs', { ...defaultSettings, commit: { scope: 'continuous', intervalMs: 19 } }],
  ['commit.intervalMs', { ...defaultSettings, commit: { scope: 'continuous', intervalMs: 10_001 } }],
  ['recoveryBudgetMs', { ...defaultSettings, recoveryBudgetMs: undefined as unknown as number }],
  ['restart.attempts', { ...defaultSettings, restart: { strategy: 'fixed', attempts: -1, delayMs: 0 } }],
  ['restart.strategy', { ...defaultSettings, restart: { strategy: 'linear' } as never }],
  ['restart.strategy', { ...defaultSettings, restart: { strategy: 'toString' } as never }],
  ['restart.attempts', { ...defaultSettings, restart: { strategy: 'none', attempts: 3 } as never }],
  ['restart.initialMs', withBackoff({ initialMs: 0 })],
  ['restart.maxMs', withBackoff({ initialMs: 100, maxMs: 99 })],
  ['restart.factor', withBackoff({ factor: 0.5 })],
  ['restart.jitter', withBackoff({ jitter: 1.1 })],
  ['restart.resetAfterMs', withBackoff({ resetAfterMs: 0 })],
  [
    'restart.maxFailures',
    { ...defaultSettings, restart: restartSettings({ strategy: 'failure-rate', maxFailures: 0 }) },
  ],
  [
    'restart.intervalMs',
    { ...defaultSettings, restart: restartSettings({ strategy: 'failure-rate', intervalMs: 1.5 }) },
  ],
  ['restart.delayMs', { ...defaultSettings, restart: { attempts: 1, delayMs: Number.POSITIVE_INFINITY } }],
])('%s is refused by name', (setting, settings) => {
  expect(thrown(() => validateSettings(settings))).toMatchObject({ code: 'SETTINGS_INVALID', facts: { setting } })
})
