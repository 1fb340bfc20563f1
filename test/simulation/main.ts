/** `npm run sim -- --seeds 2000 [--from SEED] [--trace] [--json]` */
import { parseArgs } from 'node:util'
import { load } from '../mutation/bundle.ts'
import type { SimulationResult } from './simulate.ts'

const { replay, simulate } = await load<typeof import('./simulate.ts')>('test/simulation/simulate.ts')

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string', default: '2000' },
      from: { type: 'string', default: '1' },
      trace: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const [from, seeds] = [Number(values.from), Number(values.seeds)]
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
  return violations === 0 ? 0 : 1
}

function add(totals: Record<string, number>, result: SimulationResult): void {
  const { events, simulatedMs, epochs, restarts, healed } = result
  for (const [name, n] of Object.entries({ events, simulatedMs, epochs, restarts, healed, ...result.faults }))
    totals[name] = (totals[name] ?? 0) + n
}

process.exitCode = await main(process.argv.slice(2))
