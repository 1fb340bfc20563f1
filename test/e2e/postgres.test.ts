/**
 * Two tables of a real PostgreSQL, written by four subtasks on two task-managers. Both are killed one after the other, at
 * moments a seed does not choose; SQL recounts what is there.
 */
import { systemRandom } from '@weir/runtime/system'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { postgresUrl } from '../stack/endpoints.ts'
import { Fleet } from './fleet.ts'
import { expectation, orderAt } from './orders.ts'

const ORDERS = 60_000
const RATE = 1_000
const jobFile = new URL('./postgres.job.ts', import.meta.url).pathname
const schema = `e2e_${systemRandom.nonce().slice(0, 8).replaceAll('-', '_')}`
const sql = new pg.Client({ connectionString: postgresUrl() })
const env = { WEIR_E2E_POSTGRES: postgresUrl() }
const fleet = new Fleet()
beforeAll(async () => {
  await sql.connect()
  await sql.query(`CREATE SCHEMA ${schema}`)
  await sql.query(
    `CREATE TABLE ${schema}.paid (row bigserial, id int NOT NULL, customer text NOT NULL, amount_minor int8 NOT NULL, at timestamptz NOT NULL, weir_origin text NOT NULL UNIQUE)`,
  )
  await sql.query(
    `CREATE TABLE ${schema}.totals (customer text PRIMARY KEY, sum_minor int8 NOT NULL, orders int8 NOT NULL)`,
  )
  await fleet.start({ managers: 1, workers: 0 })
  for (let i = 0; i < 2; i++) await fleet.addWorker(env)
})
afterAll(async () => {
  await fleet.stop()
  await sql.query(`DROP SCHEMA ${schema} CASCADE`)
  await sql.end()
})

test('a kill -9 of each task-manager: every row is there once, and every sum is exact', async () => {
  const jobId = `postgres-${fleet.run}`
  const { orders } = await fleet.topics(['orders'])
  fleet.produce(
    orders!,
    Array.from({ length: ORDERS }, (_, id) => JSON.stringify(orderAt(id))),
  )
  const set = Object.entries({ orders, schema, rate: RATE }).flatMap(([k, v]) => ['--set', `${k}=${v}`])
  expect((await fleet.cli('submit', jobFile, '--id', jobId, ...set)).stderr).toBe('')
  for (let kills = 1; kills <= 2; kills++) {
    const before = await fleet.job(jobId)
    await fleet.until(jobId, 'two more epochs', (j) => j.finalEpoch >= before.finalEpoch + 2)
    await fleet.kill(fleet.workers[0]!)
    await fleet.addWorker(env)
    await fleet.until(jobId, 'a restart', (j) => j.restarts >= kills && j.state === 'RUNNING')
  }
  await fleet.unlimited(jobId)
  const end = await fleet.until(jobId, 'the end of the input', (j) => j.state === 'FINISHED')
  expect(end.restarts).toBeGreaterThanOrEqual(2)

  const expected = expectation(ORDERS)
  const totals = await sql.query<{ customer: string; sum_minor: string; orders: string }>(
    `SELECT * FROM ${schema}.totals`,
  )
  expect(new Map(totals.rows.map((r) => [r.customer, { sum: Number(r.sum_minor), count: Number(r.orders) }]))).toEqual(
    expected.sums,
  )
  const paid = await sql.query<Record<string, string>>(
    `SELECT count(*) AS rows, count(DISTINCT id) AS ids, sum(amount_minor) AS sum, count(DISTINCT weir_origin) AS origins FROM ${schema}.paid`,
  )
  const sum = [...expected.sums.values()].reduce((all, of) => all + of.sum, 0)
  const rows = String(expected.outputs)
  expect(paid.rows).toEqual([{ rows, ids: rows, origins: rows, sum: String(sum) }])
  const markers = await sql.query<{ sink: string; subtask: number }>(
    `SELECT sink, subtask FROM ${schema}.weir_sinks WHERE job = $1 AND sequence > 0 ORDER BY sink, subtask`,
    [jobId],
  )
  expect(markers.rows.map(({ sink, subtask }) => `${sink} ${subtask}`)).toEqual(
    ['paid-rows', 'totals'].flatMap((sink) => [0, 1, 2, 3].map((subtask) => `${sink} ${subtask}`)),
  )
})
