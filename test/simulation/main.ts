/**
 * `npm run sim -- --seeds 2000 [--from SEED] [--trace] [--json]`: the real sources; a violation prints how to replay it.
 * `npm run sim -- --mutations [--only NAME,…] [--seeds 1000]`: each rule removed in turn must be found within the seeds.
 */
import { parseArgs } from 'node:util'
import { load } from '../mutation/bundle.ts'
import { hunt } from './hunt.ts'
import { allRules, type AnyRule } from './mutants.ts'
import type { SimulationResult } from './simulate.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    mutations: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
})

async function seedAfterSeed(from: number, seeds: number): Promise<boolean> {
  const { replay, simulate } = await load<typeof import('./simulate.ts')>('test/simulation/simulate.ts')
  const totals: Record<string, number> = {}
  let violations = 0
  let broken = 0
  for (let seed = from; seed < from + seeds; seed++) {
    const result = await simulate(seed, { trace: values.trace })
    if (values.trace) for (const line of result.trace) console.log(line)
    add(totals, result)
    violations += result.violations.length
    if (result.violations.length > 0) {
      broken++
      console.log(`seed ${seed}: ${result.violations.length} violations; replay: ${replay(seed)}`)
      for (const text of result.violations.slice(0, 10)) console.log(`  ${text}`)
    } else if (seeds === 1 && !values.json) console.log(`seed ${seed}: trace ${result.hash}`)
    if (!values.json && (seed - from + 1) % 200 === 0) console.log(`${seed - from + 1} seeds, ${broken} broken`)
  }
  console.log(JSON.stringify({ seeds, violations, from, broken, ...totals }))
  return violations === 0
}

async function mutations(seeds: number, only: readonly string[] | null): Promise<boolean> {
  let missed = 0
  const names = (Object.keys(allRules) as AnyRule[]).filter((name) => only === null || only.includes(name))
  for (const name of names) {
    const mutants = allRules[name]
    const { hole, rule } = mutants[0]!
    const { seed, violation } = await hunt(name, seeds)
    if (seed === null) missed++
    const found = seed === null ? `NOT FOUND within ${seeds} seeds` : `seed ${seed}: ${violation!.slice(0, 140)}`
    console.log(`${hole.padEnd(4)} ${name} (${rule}): ${found}`)
  }
  console.log(JSON.stringify({ mutations: names.length, missed }))
  return missed === 0
}

function add(totals: Record<string, number>, result: SimulationResult): void {
  const { events, simulatedMs, epochs, cuts, restarts, regionRestarts, rescaled, healed } = result
  for (const [name, n] of Object.entries({
    events,
    simulatedMs,
    epochs,
    cuts,
    restarts,
    regionRestarts,
    rescaled,
    healed,
    ...result.faults,
  }))
    totals[name] = (totals[name] ?? 0) + n
}

const good = values.mutations
  ? await mutations(Number(values.seeds ?? 1_000), values.only?.split(',') ?? null)
  : await seedAfterSeed(Number(values.from), Number(values.seeds ?? 2_000))
process.exitCode = good ? 0 : 1
