/** One run of a query in a job under test, fed with what a seed makes, and what the oracle says about the same input. */
import { SeededRandom } from '@weir/model/testing'
import { testJob } from '@weir/sdk/testing'
import { Generator, START_MS, arrivalsOf, type Arrival } from './generator.ts'
import { nexmark } from './job.ts'
import { WINDOW_MS, type Side } from './model.ts'
import { multiset, oracles } from './oracle.ts'
import { queries, type QueryName } from './queries/index.ts'

const EVENTS = 1_000
/** Of 100 portions, those behind which there is a checkpoint, and a restart. */
const CHECKPOINTS_PERCENT = 8
const RESTARTS_PERCENT = 6
const PARALLELISM_MAX = 3

export interface Run {
  readonly rows: readonly string[]
  readonly expected: readonly string[]
  readonly arrivals: readonly Arrival[]
  readonly restarts: number
}

/** Restarts come where the seed says, each at another parallelism. */
export async function run(name: QueryName, seed: number, { withRestarts }: { withRestarts: boolean }): Promise<Run> {
  const generator = new Generator({ seed, events: EVENTS })
  const [portions, side] = [generator.portions(), generator.side()]
  const random = new SeededRandom(seed ^ 0x5eed)
  const below = (n: number): number => Math.floor(random.next() * n)
  const job = nexmark(name, queries[name])
  const hasSide = job.graph.nodes.some(({ uid }) => uid === 'side')
  let restarts = 0

  await using t = testJob(job, { parallelism: 1 + below(PARALLELISM_MAX), startMs: START_MS })
  const rest: Side[] = hasSide ? [...side] : []
  for (const { events, clockMs } of portions) {
    await t.clock.advance(clockMs - t.clock.now())
    await t.feed('events', events)
    if (rest.length > 0) await t.feed('side', rest.splice(0, below(3)))
    if (!withRestarts) continue
    if (below(100) < CHECKPOINTS_PERCENT) await t.checkpoint()
    const isLast = events === portions.at(-1)!.events
    if (below(100) >= RESTARTS_PERCENT && !(isLast && restarts === 0)) continue
    await t.restart({ parallelism: 1 + below(PARALLELISM_MAX) })
    restarts++
  }
  if (hasSide) await t.feed('side', rest)
  await t.clock.advance(WINDOW_MS) // timers of processing time are not waited for at the end
  await t.end()
  const rows = multiset(t.committed('results').map(({ value }) => value))
  const arrivals = arrivalsOf(portions)
  return { rows, expected: multiset(oracles[name]({ arrivals, side })), arrivals, restarts }
}
