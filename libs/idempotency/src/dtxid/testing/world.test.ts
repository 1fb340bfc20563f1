import { expect, test } from 'vitest'
import { simulateDtxIds } from './world.ts'

const SEEDS = Number(process.env['DTXID_SEEDS'] ?? 60)
const FROM = Number(process.env['DTXID_FROM'] ?? 1)

test('ids are unique, and grow per worker id and per process, whatever happens to clocks, processes and etcd', () => {
  let [steps, lost, overflows] = [0, 0, 0]
  for (let seed = FROM; seed < FROM + SEEDS; seed++) {
    const world = { seed, processes: 3 + (seed % 3), faultsMs: 90_000, fleetJumps: seed % 2 === 0 }
    const report = simulateDtxIds(world)
    expect(report.violations, `DTXID_FROM=${seed} DTXID_SEEDS=1`).toEqual([])
    expect(report.ids).toBeGreaterThan(1_000)
    steps += report.steps
    lost += report.leasesLost
    overflows += report.overflows
  }
  // It has seen what it is for.
  expect(Math.min(steps, lost, overflows)).toBeGreaterThan(SEEDS)
}, 120_000)
