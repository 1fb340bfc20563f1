import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Alert } from './alertmanager.ts'
import type { RemediationConfig } from './config.ts'
import {
  remediationFor,
  stepRemediation,
  type Change,
  type JobFacts,
  type RemediationEvent,
  type RemediationState,
} from './machine.ts'

const config: RemediationConfig = {
  dryRun: false,
  actionsPerHour: { job: 4, fleet: 6 },
  policies: [
    {
      alert: 'LatencySlo',
      cooldownSeconds: 300,
      actions: [
        { do: 'rescale', factor: 1.5, max: 8 },
        { do: 'degrade', sources: ['enrichment'], recordsPerSecond: 10 },
      ],
    },
    {
      alert: 'Overload',
      jobs: ['pay'],
      cooldownSeconds: 60,
      actions: [{ do: 'throttle', factor: 0.5, unlimitedRecordsPerSecond: 500, minRecordsPerSecond: 100 }],
    },
    { alert: 'Load', cooldownSeconds: 60, actions: [{ do: 'degrade-switch' }] },
    { alert: 'Stuck', cooldownSeconds: 600, actions: [{ do: 'restart-region' }] },
  ],
}
const pay: JobFacts = {
  ...{ jobId: 'pay', isRunning: true, isRescaling: false, parallelism: 4, maxParallelism: 128, freeSlots: 10 },
  degradeSwitch: 'off',
  sources: [
    { source: 'orders', recordsPerSecond: null, minRecordsPerSecond: null, currentRecordsPerSecond: null },
    { source: 'enrichment', recordsPerSecond: 500, minRecordsPerSecond: 50, currentRecordsPerSecond: 400 },
  ],
}
const firing = (name: string, over: Partial<Alert> = {}): Alert => ({
  ...{ name, status: 'firing', job: 'pay', subtask: null },
  ...over,
})
const at = (nowMs: number, alert: Alert, job: JobFacts | null = pay): RemediationEvent => {
  return { type: 'alert', alert, job, nowMs }
}
/** What is done or said, in words. */
function story(events: readonly RemediationEvent[], of: RemediationConfig = config): string[] {
  let state = remediationFor(of)
  return events.flatMap((event) => {
    const step = stepRemediation(state, event)
    state = step.state
    return step.effects.map(({ type, change, why }) => `${type} ${change === null ? why : said(change)}`)
  })
}
function said(change: Change): string {
  if (change.type === 'rescale') return `rescale ${change.parallelism}`
  if (change.type === 'restart-region') return 'restart-region'
  if (change.type === 'degrade-switch') return `switch ${change.degraded ? 'on' : 'off'}`
  return change.limits.map(({ source, recordsPerSecond: n }) => `${source}=${n ?? 'none'}`).join(' ')
}

test('too slow: the job is scaled and what may wait waits; when it is over, the switch goes back and the width stays', () => {
  expect(story([at(0, firing('LatencySlo')), at(1_000_000, firing('LatencySlo', { status: 'resolved' }))])).toEqual([
    'change rescale 6',
    'change enrichment=10',
    'undo enrichment=500',
  ])
})

const over = (name: string): Alert => firing(name, { status: 'resolved' })

test('the degrade switch is on until the alert is over', () => {
  expect(story([at(0, firing('Load')), at(1_000, over('Load')), at(2_000, over('Load'))])).toEqual([
    'change switch on',
    'undo switch off',
  ])
})

test('a switch that somebody has turned on stays on; a job without one is passed over', () => {
  const on: JobFacts = { ...pay, degradeSwitch: 'on' }
  expect(story([at(0, firing('Load'), on), at(1_000, over('Load'), on)])).toEqual([
    'passed the degrade switch is on already',
  ])
  expect(story([at(0, firing('Load'), { ...pay, degradeSwitch: null })])).toEqual([
    'passed the job has no degrade switch (the setting degradable)',
  ])
})

test('what two policies have done is undone with the alert that came first', () => {
  const events = [
    at(0, firing('Overload')),
    at(1_000, firing('Load')),
    at(2_000, over('Load')),
    at(3_000, over('Overload')),
  ]
  expect(story(events)).toEqual([
    'change orders=500 enrichment=200',
    'change switch on',
    'undo orders=none enrichment=500',
    'undo switch off',
  ])
})

test('the same alert again does nothing before the policy has cooled down', () => {
  expect(story([at(0, firing('Overload')), at(59_000, firing('Overload')), at(60_000, firing('Overload'))])).toEqual([
    'change orders=500 enrichment=200',
    'passed it has done so lately; again in 1 s',
    'change orders=500 enrichment=200',
  ])
})

test('however often it was lowered, a source gets back what it had at first, once', () => {
  const lower = (n: number): JobFacts => ({
    ...pay,
    sources: pay.sources.map((of) => ({
      ...of,
      ...{ recordsPerSecond: n, minRecordsPerSecond: null, currentRecordsPerSecond: n },
    })),
  })
  const over = firing('Overload', { status: 'resolved' })
  expect(
    story([
      at(0, firing('Overload')),
      at(60_000, firing('Overload'), lower(200)),
      at(120_000, over),
      at(120_000, over),
    ]),
  ).toEqual(['change orders=500 enrichment=200', 'change orders=100 enrichment=100', 'undo orders=none enrichment=500'])
})

test('a rescale stays within the bounds of the policy, the job and the free slots', () => {
  const scaled = (over: Partial<JobFacts>): string =>
    story([at(0, firing('LatencySlo'), { ...pay, sources: [], ...over })])[0]!
  expect(scaled({ parallelism: 7 })).toBe('change rescale 8')
  expect(scaled({ parallelism: 1 })).toBe('change rescale 2')
  expect(scaled({ freeSlots: 1 })).toBe('change rescale 5')
  expect(scaled({ parallelism: 8 })).toMatch(/^passed no more than 8 subtasks/)
  expect(scaled({ freeSlots: 0 })).toMatch(/0 slots are free/)
  expect(scaled({ maxParallelism: 4 })).toMatch(/the job's 4/)
  expect(scaled({ isRescaling: true })).toBe('passed the job is being rescaled already')
})

test('after so many changes in an hour nothing more is done, of the job and of the fleet', () => {
  const every = (minutes: number, jobId: string): RemediationEvent =>
    at(minutes * 60_000, firing('Stuck', { job: jobId }), { ...pay, jobId })
  expect(story([0, 10, 20, 30, 40, 60].map((minutes) => every(minutes, 'pay')))).toEqual([
    ...Array.from({ length: 4 }, () => 'change restart-region'),
    'passed 4 changes of this job in an hour are the limit',
    'change restart-region',
  ])
  expect(story(['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((jobId) => every(1, jobId))).at(-1)).toBe(
    'passed 6 changes in an hour are the limit of the fleet',
  )
})

test.each([
  [at(0, firing('Unheard')), []],
  [at(0, firing('Overload', { job: 'other' }), { ...pay, jobId: 'other' }), []],
  [at(0, firing('Stuck', { job: null }), null), ['passed the alert names no job']],
  [at(0, firing('Stuck'), null), ['passed there is no such job']],
  [at(0, firing('Stuck'), { ...pay, isRunning: false }), ['passed the job does not run']],
  [at(0, firing('Stuck', { status: 'resolved' })), []],
])('what no policy is for, or cannot be done, is not done: %#', (event, expected) => {
  expect(story([event])).toEqual(expected)
})

// ---- properties ----------------------------------------------------------------------------------------------------------

const someJob = fc.record({
  jobId: fc.constantFrom('pay', 'a', 'b'),
  isRunning: fc.boolean(),
  isRescaling: fc.boolean(),
  parallelism: fc.integer({ min: 1, max: 16 }),
  maxParallelism: fc.constantFrom(8, 128),
  freeSlots: fc.integer({ min: 0, max: 8 }),
  degradeSwitch: fc.constantFrom('on' as const, 'off' as const, null),
  sources: fc.constant(pay.sources),
})
const someEvents = fc.array(
  fc.record({
    name: fc.constantFrom('LatencySlo', 'Overload', 'Load', 'Stuck', 'Unheard'),
    status: fc.constantFrom('firing' as const, 'resolved' as const),
    job: someJob,
    afterMs: fc.integer({ min: 0, max: 1_000_000 }),
  }),
  { maxLength: 60 },
)

test('whatever comes: never above a bound, never more often than allowed, and what is open is undone once', () => {
  fc.assert(
    fc.property(someEvents, (events) => {
      let state: RemediationState = remediationFor(config)
      let nowMs = 0
      const changes: { jobId: string; atMs: number }[] = []
      const limited = new Map<string, Set<string>>()
      const switched = new Set<string>()
      for (const { name, status, job, afterMs } of events) {
        nowMs += afterMs
        const alert = firing(name, { status, job: job.jobId })
        const step = stepRemediation(state, at(nowMs, alert, job))
        state = step.state
        for (const { type, change } of step.effects) {
          if (type === 'passed') expect(change).toBeNull()
          if (type === 'undo' && change?.type === 'limit') {
            // Exactly what was limited since the last time, and as it was.
            expect(new Set(change.limits.map(({ source }) => source))).toEqual(limited.get(job.jobId))
            for (const limit of change.limits)
              expect(pay.sources.find(({ source }) => source === limit.source)).toMatchObject(limit)
            limited.delete(job.jobId)
          }
          if (change?.type === 'degrade-switch') {
            expect([type, switched.has(job.jobId)]).toEqual(
              change.degraded ? ['change', expect.anything()] : ['undo', true],
            )
            if (change.degraded) switched.add(job.jobId)
            else switched.delete(job.jobId)
          }
          if (type !== 'change') continue
          changes.push({ jobId: job.jobId, atMs: nowMs })
          expect(job.isRunning && status === 'firing').toBe(true)
          if (change?.type === 'rescale') {
            expect(change.parallelism).toBeGreaterThan(job.parallelism)
            expect(change.parallelism).toBeLessThanOrEqual(
              Math.min(8, job.maxParallelism, job.parallelism + job.freeSlots),
            )
          }
          if (change?.type === 'limit') {
            const open = limited.get(job.jobId) ?? new Set()
            for (const { source, recordsPerSecond } of change.limits) {
              expect(recordsPerSecond).toBeGreaterThanOrEqual(10)
              open.add(source)
            }
            limited.set(job.jobId, open)
          }
        }
        const lately = changes.filter(({ atMs }) => nowMs - atMs < 3_600_000)
        expect(lately.length).toBeLessThanOrEqual(6)
        for (const { jobId } of lately) expect(lately.filter((of) => of.jobId === jobId).length).toBeLessThanOrEqual(4)
      }
    }),
    { numRuns: 500 },
  )
})
