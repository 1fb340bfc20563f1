/**
 * npm run chaos -- [--rounds N] [--seed S] [--scenario NAME]: breaks a real fleet and judges from outside what came out.
 * The last line on stdout is one JSON object; exit code 1 when anything was violated. `PHASE/FAULT` is a scenario too.
 */
import { parseArgs } from 'node:util'
import { INJECT } from './faults.ts'
import { FAULTS, PHASES, planRounds, type Fault, type Phase, type Round } from './plan.ts'
import { playRound, type Outcome } from './round.ts'
import { SCENARIOS } from './scenarios.ts'
import { World } from './world.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '20' }, seed: { type: 'string' }, scenario: { type: 'string' } },
})
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const say = (text: string): void => console.error(`[chaos] ${text}`)

/** Null: no such scenario. */
function playsOf(scenario: string | undefined): { name: string; play: (world: World) => Promise<Outcome> }[] | null {
  const plan = planRounds(seed, scenario === undefined ? Number(values.rounds) : 1)
  const round = (r: Round) => ({
    name: `${r.phase}/${r.fault}${r.againAfterMs === null ? '' : ' + kill-task-manager'}`,
    play: (world: World) => playRound(world, r),
  })
  if (scenario === undefined) return plan.map(round)
  const play = SCENARIOS[scenario]
  if (play) return [{ name: scenario, play }]
  const [phase, fault] = scenario.split('/') as [Phase, Fault]
  if (!PHASES.includes(phase) || !(fault in INJECT)) return null
  return [round({ ...plan[0]!, phase, fault })]
}

const plays = playsOf(values.scenario)
if (plays === null) {
  const names = [...Object.keys(SCENARIOS), `PHASE/FAULT with PHASE ${PHASES.join('|')} and FAULT ${FAULTS.join('|')}`]
  console.error(`no scenario "${values.scenario}"; there are: ${names.join(', ')}`)
  process.exit(2)
}

say(`seed ${seed}: --seed ${seed} repeats the choice of faults`)
say('no job uses Redis: it is not started, and not restarted')
const count: Record<string, number> = { NoLoss: 0, NoDuplicate: 0, InOrder: 0, Fencing: 0, StuckReader: 0 }
const faults: Record<string, number> = {}
let unmet = 0
let played = 0
const world = await World.start()
let keepLogs = false
try {
  for (const { name, play } of plays) {
    const began = performance.now()
    const outcome = await play(world).catch((error: unknown) => {
      throw new Error(`${name}: ${(error as Error).message}`, { cause: error })
    })
    played++
    for (const fault of name.split('/').at(-1)!.split(' + ')) faults[fault] = (faults[fault] ?? 0) + 1
    const bad = [
      ...outcome.verdicts.flatMap((v) => v.examples.map((e) => `${v.checker}: ${e}`)),
      ...outcome.unmet.map((text) => `unmet: ${text}`),
    ]
    for (const v of outcome.verdicts) count[v.checker]! += v.violations
    unmet += outcome.unmet.length
    const seconds = ((performance.now() - began) / 1_000).toFixed(1)
    say(`${played}/${plays.length} ${name}: ${bad.length === 0 ? 'ok' : 'VIOLATED'} in ${seconds} s (${outcome.told})`)
    for (const line of bad) say(`    ${line}`)
    if (bad.length > 0) keepLogs = true
    if (outcome.unmet.length > 0) break // the fleet may not be whole
  }
} catch (error) {
  unmet++
  keepLogs = true
  say(String((error as Error).stack))
} finally {
  if (keepLogs) say(`what the processes said: ${world.logs}`)
  await world.close(keepLogs)
}
console.log(
  JSON.stringify({
    rounds: played,
    lost: count['NoLoss'],
    duplicates: count['NoDuplicate'],
    reordered: count['InOrder'],
    fencing: count['Fencing'],
    stuckReaders: count['StuckReader'],
    unmet,
    seed,
    faults,
  }),
)
process.exitCode = unmet + Object.values(count).reduce((a, b) => a + b) === 0 ? 0 : 1
