/** `weir prove` on a job of the tour, and on one that is not exactly once by its own fault. Needs `npm run build`. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { prove, type ProveCommand } from './prove.ts'
import type { ProveReport } from './report.ts'

// Inside of the checkout: a job file finds its packages from where it lies.
const dir = mkdtempSync(join(import.meta.dirname, '.prove-test-'))
afterAll(() => rmSync(dir, { recursive: true }))

const START_MS = Date.UTC(2026, 0, 1)
const order = (id: number): object => ({
  ...{ id, user: `u-${id % 7}`, amountMinor: id, status: id % 10 === 3 ? 'FAILED' : 'PAID', ts: START_MS + id * 10 },
})
/** With the user as key: all of a user's orders are in one partition, so what comes out is the same every time. */
function orders(count: number, key: (id: number) => string): string {
  const file = join(dir, `orders-${count}.ndjson`)
  const lines = Array.from({ length: count }, (_, id) => JSON.stringify({ key: key(id), value: order(id) }))
  writeFileSync(file, lines.join('\n'))
  return `orders=${file}`
}

async function proof(over: Partial<ProveCommand>): Promise<{ code: number; report: ProveReport; text: string }> {
  const said: { report: ProveReport; text: string }[] = []
  const command = { params: {}, inputs: [], sample: null, kafka: undefined, points: undefined, rounds: 1, seed: 5 }
  const code = await prove(
    { file: '', ...command, ...over },
    (value, text) => said.push({ report: value as ProveReport, text }),
    () => {},
  )
  return { code, ...said[0]! }
}

test('the tour’s first job loses and repeats nothing, killed where its output is published', async () => {
  const file = new URL('../../../examples/src/01-orders.ts', import.meta.url).pathname
  const inputs = [orders(800, (id) => `u-${id % 7}`)]
  const { code, report, text } = await proof({
    ...{ file, inputs, params: { parallelism: '2' }, points: 'before-commit' },
  })
  expect(report).toMatchObject({ job: 'orders', lost: 0, duplicates: 0, notReached: [], proven: true })
  expect(report.outputs).toBeGreaterThan(700)
  expect(report.runs.map(({ crashed, restarts }) => crashed > 0 && restarts > 0)).toEqual([true])
  expect(text).toMatch(
    /again: weir prove .*01-orders.ts --seed 5 --set parallelism=2 --input orders=\S+ --points before-commit/,
  )
  expect(code).toBe(0)
}, 240_000)

test('a job that counts outside of its state is caught, with what is wrong', async () => {
  const file = join(dir, 'counting.ts')
  writeFileSync(
    file,
    `import { job, json, kafka } from '@weir/sdk'
     let n = 0
     export default job('counting', (flow) =>
       flow.from(kafka.topic('orders', { value: json() }), 'orders').map((order) => ({ order, n: n++ }), 'number').to(kafka.sink('numbered'), 'out'))`,
  )
  const { code, report } = await proof({ file, inputs: [orders(300, () => 'one')], points: 'before-acknowledgement' })
  expect(report).toMatchObject({ counted: 'by-value', proven: false, notReached: [] })
  expect(report.lost).toBeGreaterThan(0)
  expect(report.runs[0]!.examples[0]).toContain('numbered')
  expect(code).toBe(1)
}, 240_000)

test('what cannot be run on a log of its own is named before anything is started', async () => {
  const file = join(dir, 'requests.ts')
  writeFileSync(
    file,
    `import { datagen, http, job } from '@weir/sdk'
     export default job('requests', (flow) => flow.from(datagen.payments(), 'payments').to(http.sink('http://127.0.0.1:1/'), 'out'))`,
  )
  await expect(proof({ file })).rejects.toMatchObject({ code: 'PROVE_UNSUPPORTED', kind: 'invalid' })
  await expect(proof({ file, points: 'before-lunch' })).rejects.toMatchObject({ code: 'USAGE' })
}, 240_000)
