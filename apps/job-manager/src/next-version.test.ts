/** A build that takes the place of another under the same id: what operators have asked for stays, as far as it has a place in it. */
import { defaultSettings, type PlanSummary } from '@weir/dataflow'
import { systemClock, systemRandom } from '@weir/runtime/system'
import type { FleetServer } from '@weir/wire'
import { expect, test } from 'vitest'
import { ended, job } from './fixture.ts'
import { Term } from './term.ts'

const planOf = (sources: readonly string[], degradable: boolean): PlanSummary => ({
  ...{ version: 1, name: 'j', settings: { ...defaultSettings, degradable }, stages: 1, sources, sinks: [], edges: [] },
  nodes: sources.map((uid) => ({
    ...{ uid, kind: 'source', stage: 0 },
    config: { recordsPerSecond: 100, descriptor: { connector: 'kafka', topic: uid } },
  })),
})
const quiet = { debug: () => {}, info: () => {}, warn: () => {} }
const wish = { from: '3', droppedState: [], repeatedOutput: true }
const limit = { recordsPerSecond: 7, minRecordsPerSecond: null }

test.each([
  ['with the same source and a switch', ['in', 'new'], true, { rates: { in: limit }, degraded: true }],
  ['with another source and no switch', ['new'], false, { rates: undefined, degraded: undefined }],
])('%s', async (_, sources, degradable, asked) => {
  const before = await ended({ ledger: 'closed', swept: 'all' }, planOf(['in', 'old'], true))
  await before.stores.jobs.update(job, (record) => ({ ...record, rates: { in: limit, old: limit }, degraded: true }))
  const over = new AbortController()
  const { stores, leadership } = before
  const lease = { ...leadership, live: true, signal: over.signal }
  const fleet = { send: () => true } as unknown as FleetServer
  const deps = { leadership: lease, stores, fleet, clock: systemClock, random: systemRandom, log: quiet }
  const term = new Term({ ...deps, metrics: { observe: () => {} } })
  const ran = term.run()
  await expect.poll(() => term.hasRead).toBe(true)

  const plan = planOf(sources, degradable)
  const dropped = { ...wish, droppedState: ['in', 'old'].filter((uid) => !sources.includes(uid)) }
  const notes = await term.submit({ ...before.record, plan, submittedAt: 9, ended: null }, dropped)
  const { rates, degraded } = (await stores.jobs.get(job))!
  expect({ rates, degraded }).toEqual(asked)
  expect(notes.filter((note) => /weir (rate|degrade)/.test(note))).toEqual(
    degradable
      ? [
          'source "in" goes on to be read with at most 7 records/s, as was asked for: `weir rate` changes it',
          'the degrade switch stays on: `weir degrade` turns it off',
        ]
      : [],
  )
  expect(term.get(job).rates.find(({ source }) => source === 'in')?.recordsPerSecond).toBe(degradable ? 7 : undefined)
  over.abort()
  await ran
  await before.close()
})
