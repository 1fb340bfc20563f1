import { expect, test } from 'vitest'
import { A, leader, settings, whole } from './driver.fixture.ts'

test('while a restart waits, the view says which strategy counted what, and when it is over', async () => {
  const l = leader()
  await l.run()
  expect(l.master.view().restart).toEqual({ strategy: 'fixed', failures: 0, nextAt: null })
  const failure = { code: 'BROKEN', kind: 'restart', message: 'broken', facts: {} } as const
  l.master.dispatch({ type: 'slice-failed', slice: l.slice, failure })
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  const { nextAt } = l.master.view().restart
  expect(l.master.view().restart).toEqual({ strategy: 'fixed', failures: 1, nextAt })
  await l.settle(nextAt! - l.now() - 50)
  expect(l.master.view().state).toBe('RESTARTING')
  expect(l.master.view().restart.nextAt).toBe(nextAt)
  await l.settle(100)
  expect(l.master.view().restart).toEqual({ strategy: 'fixed', failures: 1, nextAt: null })
})

test('epochs and restarts come when they are due, between two ticks', async () => {
  const l = leader()
  l.slots.join(A, 1)
  l.master.start()
  await l.settle(500)
  await l.advance(7)
  l.master.dispatch({ type: 'deployed', slice: l.slice, exchangeAddress: 'x:1' })
  l.master.dispatch({ type: 'recovered', slice: l.slice, proofs: [] })
  await whole(l, 1, ['a'])
  const finalAt = l.now()
  await l.settle(1_050)
  const triggered = l.master.checkpoints().map(({ triggeredAt }) => triggeredAt)
  expect(triggered).toEqual([finalAt + settings.checkpoint.minPauseMs, 507 + settings.checkpoint.intervalMs])
  const claims = l.claims()
  const stoppedAt = l.now()
  l.master.dispatch({ type: 'stopped', slice: l.slice })
  const { delayMs } = settings.restart as { readonly delayMs: number }
  await l.advance(delayMs - 1)
  expect(l.claims()).toBe(claims)
  await l.advance(1)
  expect([l.now(), l.claims()]).toEqual([stoppedAt + delayMs, claims + 1])
})
