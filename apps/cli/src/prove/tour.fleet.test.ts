/** Every job of the tour goes through `weir prove`, each killed at another point; `npm run chaos -- --tour`: each at every point. Needs `npm run build`. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CrashPointName } from './points.ts'
import { prepare, proveOn } from './prove.ts'
import { ProvingGround } from './proving-ground.ts'
import type { ProveReport } from './report.ts'

const TOUR = new URL('../../../examples/src/', import.meta.url).pathname
const dir = mkdtempSync(join(tmpdir(), 'weir-tour-'))
let ground: ProvingGround
beforeAll(async () => {
  ground = await ProvingGround.open({ slots: 2 })
})
afterAll(async () => {
  await ground.close()
  rmSync(dir, { recursive: true })
})

/** With the user as key: what comes out is the same every time. */
const ORDERS = join(dir, 'orders.ndjson')
const order = (id: number): object => ({
  ...{ id, user: `u-${id % 7}`, amountMinor: id, status: id % 10 === 3 ? 'FAILED' : 'PAID' },
  ts: Date.UTC(2026, 0, 1) + id * 10,
})
const lines = Array.from({ length: 800 }, (_, id) => JSON.stringify({ key: `u-${id % 7}`, value: order(id) }))
writeFileSync(ORDERS, lines.join('\n'))

const POINT_OF: Readonly<Record<string, CrashPointName>> = {
  '01-orders.ts': 'leader-after-commit',
  '02-payments.ts': 'before-acknowledgement',
  '02-payments.yaml': 'leader-before-commit',
  '03-batches.ts': 'before-deployment',
  '04-card-limits.ts': 'while-processing',
  '05-windows.ts': 'after-commit',
  '06-joins.ts': 'before-snapshot',
  '07-enrichment.ts': 'after-recovery',
  '08-idempotent.ts': 'leader-while-publishing',
  '09-files.ts': 'before-acknowledgement',
  '10-bank.ts': 'before-recovery',
}
/** What is late depends on who is first, where several read. */
const PARAMS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  '05-windows.ts': { parallelism: '1', splits: '1' },
}

/** A job that puts out nothing before the end of its input has few commits to be killed at: then not every point is reached. */
const isAll = process.env['WEIR_TOUR_POINTS'] === 'all'

test('the whole tour is here', () => {
  const tour = readdirSync(TOUR).filter((name) => /^\d\d-[\w-]+\.(ts|yaml)$/.test(name))
  expect(tour.sort()).toEqual(Object.keys(POINT_OF).sort())
})

test.each(Object.entries(POINT_OF))(
  '%s, killed %s: nothing is lost, nothing is there twice',
  async (name, point) => {
    const told: ProveReport[] = []
    const command = {
      ...{ file: join(TOUR, name), params: PARAMS[name] ?? {}, sample: null, kafka: undefined, rounds: 1, seed: 5 },
      inputs: /^0[13]/.test(name) ? [`orders=${ORDERS}`] : [],
      points: isAll ? undefined : point,
    }
    const id = name.replace(/\W/g, '-')
    const code = await proveOn(
      ground,
      id,
      await prepare(command),
      (value) => told.push(value as ProveReport),
      () => {},
    )
    expect(told[0]).toMatchObject({ lost: 0, duplicates: 0, varying: [] })
    expect(told[0]!.runs.map(({ state }) => state)).toEqual(told[0]!.runs.map(() => 'FINISHED'))
    if (!isAll) expect({ code, notReached: told[0]!.notReached }).toEqual({ code: 0, notReached: [] })
  },
  isAll ? 900_000 : 240_000,
)
