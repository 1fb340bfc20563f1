import { planJob, type JobSettings, type SourcePoll } from '@weir/dataflow'
import type { RecordBatch } from '@weir/model'
import { afterEach, expect, test } from 'vitest'
import { BufferTimeout } from './buffer-timeout.ts'
import { chainOf, node, stopAll, World } from './fixture.ts'
import type { Outlet } from './outlet.ts'
import type { SliceScope } from './slice-scope.ts'
import { MemoryLogSource, MemorySink } from './testing/index.ts'

afterEach(stopAll)

test('frames leave once for as long as records may wait, counted from the first look behind a flush', () => {
  let flushes = 0
  const outputs = [{ flush: () => void flushes++ } as Outlet]
  const timeout = new BufferTimeout({} as SliceScope, { outputs }, 20)
  const after = (nowMs: number): number => {
    timeout.look(nowMs)
    return flushes
  }
  expect([0, 10, 19, 20, 21, 40, 41, 60].map(after)).toEqual([0, 0, 0, 1, 1, 1, 2, 2])
  timeout.flushed()
  expect([61, 80, 81].map(after)).toEqual([2, 2, 3])
})

test('with 0 they leave behind every batch', () => {
  let flushes = 0
  const outputs = [{ flush: () => void flushes++ } as Outlet]
  const timeout = new BufferTimeout({} as SliceScope, { outputs }, 0)
  for (let i = 0; i < 3; i++) timeout.look(i)
  expect(flushes).toBe(3)
})

/** Hands out one record, and has nothing more to say until it is asked. */
class Silent extends MemoryLogSource {
  #given = false
  override poll(maxRecords: number, held?: ReadonlySet<number>): Promise<SourcePoll> {
    if (this.#given) return new Promise(() => {})
    this.#given = true
    return super.poll(maxRecords, held)
  }
}

const written = async (settings: Partial<JobSettings>): Promise<unknown> => {
  const world = new World()
  let took = (_: unknown): void => {}
  const first = new Promise((resolve) => (took = resolve))
  world.sinkOf = () => {
    const sink = new MemorySink(world.topic('out'))
    const write = sink.write.bind(sink)
    sink.write = (batch: RecordBatch) => {
      took(batch.values[0])
      return write(batch)
    }
    return sink
  }
  const job = chainOf([node.source(0), node.keyBy(String), node.concat('all'), node.sink('out')], settings)
  const { run } = world.start(job, new Silent([[{ value: 'a', ts: 0 }]], 1))
  await run()
  return first
}

test('a record leaves while the loop waits for a source that is silent', async () => {
  expect(await written({ bufferTimeoutMs: 5 })).toBe('a ')
})

test('it is in the plan, and so in its hash; absent, the plan is what it was', () => {
  const plan = (settings: Partial<JobSettings>): string =>
    planJob(chainOf([node.source(0), node.keyBy(String), node.concat('all'), node.sink('out')], settings)).canonical
  expect(plan({ bufferTimeoutMs: 5 })).toContain('"bufferTimeoutMs":5')
  expect(plan({})).not.toContain('bufferTimeout')
})
