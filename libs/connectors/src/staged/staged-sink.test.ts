/** What the staged sink does with a destination that is away; the contract is run by the real ones. */
import { MemoryStagedOutput, contextOf } from '@weir/dataflow/testing'
import { WeirError, attempt, epoch, generation } from '@weir/model'
import { ManualClock } from '@weir/model/testing'
import { expect, test } from 'vitest'
import type { Destination } from './destination.ts'
import { StagedSink } from './staged-sink.ts'

const AWAY = new WeirError({ code: 'SOMEWHERE_AWAY', kind: 'retry', host: 'h' }, 'connection refused')
const checkpoint = { epoch: epoch(1), generation: generation(1), attempt: attempt(1) }

/** Answers `take`, and is away afterwards. */
function away() {
  let tries = 0
  const destination: Destination = {
    name: 'table t',
    encode: ({ values }, i) => Buffer.from(String(values[i])),
    take: () => Promise.resolve(0),
    initialise: () => Promise.resolve(),
    apply: () => {
      tries++
      return Promise.reject(AWAY)
    },
    close: () => Promise.resolve(),
  }
  const clock = new ManualClock()
  const context = contextOf('j', 'out')
  const sink = new StagedSink({ context, clock, staged: new MemoryStagedOutput(), asides: null, destination })
  return { sink, clock, tries: () => tries }
}
async function prepared(sink: StagedSink): Promise<void> {
  await sink.recover(null)
  await sink.write({ keys: null, values: ['a'], timestamps: [0] })
  await sink.prepare(checkpoint)
}
/** One pause after the other, until it has come to an end. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    clock.advance(100)
    for (let i = 0; i < 20; i++) await Promise.resolve()
  }
}

test('a destination that is away is asked again within a bound; then the attempt is over, and nothing is lost', async () => {
  const { sink, clock, tries } = away()
  await prepared(sink)
  const committed = sink.commit(1)
  committed.catch(() => undefined)
  await pass(clock, 120_000)
  await expect(committed).rejects.toMatchObject({
    ...{ code: 'DESTINATION_AWAY', kind: 'restart' },
    facts: { destination: 'table t', last: 'SOMEWHERE_AWAY', host: 'h' },
  })
  expect(tries()).toBeGreaterThan(10)
  expect(tries()).toBeLessThan(30)
  expect(sink.pending.prepared).toBe(1)
})

test('a sink that is closed asks no more', async () => {
  const { sink, clock, tries } = away()
  await prepared(sink)
  const committed = sink.commit(1)
  committed.catch(() => undefined)
  await pass(clock, 1_000)
  await sink.close('leave')
  const asked = tries()
  await pass(clock, 10_000)
  expect(tries()).toBe(asked)
  await expect(committed).rejects.toMatchObject({ kind: 'retry' })
})
