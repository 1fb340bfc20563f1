/** The named cases: long outages and zombies, each with what it demands beyond "nothing lost, nothing twice". */
import type { Outcome } from './round.ts'
import type { World } from './world.ts'

export const SCENARIOS: Readonly<Record<string, (world: World) => Promise<Outcome>>> = {}
