import { expect, test } from 'vitest'
import type { JobSettings } from './graph.ts'
import { thrown } from './operators/fixture.ts'
import { defaultSettings, validateSettings } from './settings.ts'

const withCheckpoint = (over: Partial<JobSettings['checkpoint']>): JobSettings => ({
  ...defaultSettings,
  checkpoint: { ...defaultSettings.checkpoint, ...over },
})

const STRONG = { primary: 'etcd', fallback: 's3', consistency: 'strong' } as const

test('metadata in words is what the defaults do', () => {
  expect(() => validateSettings({ ...defaultSettings, metadata: STRONG })).not.toThrow()
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

test('the budget scales down for short tests', () => {
  const short = withCheckpoint({ intervalMs: 200, alignTimeoutMs: 2_000, toleratedAborts: 1 })
  const settings = { ...short, transactionTimeoutMs: 10_000, recoveryBudgetMs: 5_600 }
  expect(() => validateSettings(settings)).not.toThrow()
  expect(thrown(() => validateSettings({ ...settings, recoveryBudgetMs: 5_601 })).code).toBe('SETTINGS_INVALID')
})

test.each<[string, JobSettings]>([
  ['parallelism', { ...defaultSettings, parallelism: 0 }],
  ['arbiter', { ...defaultSettings, arbiter: 'redis' as 's3' }],
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
  ['commit.scope', { ...defaultSettings, commit: { scope: 'always' } as never }],
  ['commit.intervalMs', { ...defaultSettings, commit: { scope: 'continuous', intervalMs: 19 } }],
  ['commit.intervalMs', { ...defaultSettings, commit: { scope: 'continuous', intervalMs: 10_001 } }],
  ['recoveryBudgetMs', { ...defaultSettings, recoveryBudgetMs: undefined as unknown as number }],
  ['restart.delayMs', { ...defaultSettings, restart: { attempts: 1, delayMs: Number.POSITIVE_INFINITY } }],
])('%s is refused by name', (setting, settings) => {
  expect(thrown(() => validateSettings(settings))).toMatchObject({ code: 'SETTINGS_INVALID', facts: { setting } })
})
