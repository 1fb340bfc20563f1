import type { PublishOutcome } from '@weir/checkpoint'
import { epoch, WeirError } from '@weir/model'
import { expect, test } from 'vitest'
import { leader, words } from './driver.fixture.ts'

test('claims again while an arbiter is away, then runs an epoch to the end', async () => {
  const l = leader()
  await l.run()
  expect(words(l.commands)).toEqual(['deploy', 'recover', 'run'])
  await l.settle(1_050)
  l.ack(1)
  await l.settle(100)
  expect(l.commands.at(-1)).toMatchObject({ type: 'commit', epoch: 1, manifestDigest: 'd1', upTo: { out: 1 } })
  l.master.dispatch({ type: 'committed', slice: l.slice, epoch: epoch(1) })
  expect(l.master.view()).toMatchObject({ state: 'RUNNING', publishedEpoch: 1, finalEpoch: 1 })
  expect(l.master.checkpoints()[0]).toMatchObject({ epoch: 1, status: 'final' })
  expect(l.master.checkpointTasks(1)).toMatchObject([{ subtask: 0, status: 'acknowledged', uploadMs: null }])
})

test('A3: an unanswered publish is sent again, with the same manifest, until the arbiters answer', async () => {
  const unknown: PublishOutcome = { kind: 'unknown', reason: 'timed out' }
  const l = leader([unknown, unknown, 'ok'])
  await l.run()
  await l.settle(1_050)
  l.ack(1)
  await l.settle(1_000)
  expect(l.sent.map((m) => m.digest)).toEqual(['d1', 'd1', 'd1'])
  expect(words(l.commands).filter((w) => w === 'commit')).toHaveLength(1)
})

test('A3: a publish whose call fails is no refusal: it may have left, so it is sent again; one that is fenced ends the term', async () => {
  const l = leader([new Error('socket hang up'), 'ok'])
  await l.run()
  await l.settle(1_050)
  l.ack(1)
  await l.settle(1_000)
  expect([l.sent.map((m) => m.digest), l.steppedDown]).toEqual([['d1', 'd1'], []])

  const other = leader([new WeirError({ code: 'LEADERSHIP_LOST', kind: 'fenced' }, 'another process leads')])
  await other.run()
  await other.settle(1_050)
  other.ack(1)
  await other.settle(1_000)
  expect([other.sent.length, other.steppedDown.length]).toEqual([1, 1])
  expect(words(other.commands)).not.toContain('commit')
})

test('etcd silent: the alert is raised, and cleared when etcd has been raised to what is published', async () => {
  const arbiter = { degraded: true }
  const l = leader([], arbiter)
  await l.run()
  await l.settle(1_050)
  l.ack(1)
  await l.settle(100)
  expect(words(l.commands)).toContain('commit')
  expect(l.master.view().alerts).toMatchObject([{ code: 'ARBITER_DEGRADED' }])
  await l.settle(3_000)
  expect(l.reconciles()).toBeGreaterThanOrEqual(2)
  arbiter.degraded = false
  await l.settle(1_050)
  expect(l.master.view().alerts).toEqual([])
  const asked = l.reconciles()
  await l.settle(3_000)
  expect(l.reconciles()).toBe(asked)
})

test('superseded: steps down, commits nothing', async () => {
  const l = leader([{ kind: 'superseded', reason: 'generation 4 leads' }])
  await l.run()
  await l.settle(1_050)
  l.ack(1)
  await l.settle(100)
  expect(l.steppedDown).toEqual(['j: generation 4 leads'])
  expect(words(l.commands)).not.toContain('commit')
})
