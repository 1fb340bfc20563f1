/**
 * Changes of a real PostgreSQL in, rows of it out, while the task-managers are killed and the outbox is written to: every
 * balance is what SQL says of the outbox.
 */
import { systemClock, systemRandom } from '@weir/runtime/system'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { postgresUrl } from '../stack/endpoints.ts'
import { Fleet } from './fleet.ts'

const TRANSACTIONS = 600
const jobFile = new URL('./changes.job.ts', import.meta.url).pathname
/** Of schema, publication and slot. */
const name = `e2e_${systemRandom.nonce().slice(0, 8).replaceAll('-', '_')}`
const sql = new pg.Client({ connectionString: postgresUrl() })
const env = { WEIR_E2E_POSTGRES: postgresUrl() }
const fleet = new Fleet()
beforeAll(async () => {
  await sql.connect()
  await sql.query(`CREATE SCHEMA ${name}`)
  await sql.query(
    `CREATE TABLE ${name}.outbox (id bigserial PRIMARY KEY, account text NOT NULL, amount_minor int NOT NULL)`,
  )
  await sql.query(
    `CREATE TABLE ${name}.balances (account text PRIMARY KEY, sum_minor int8 NOT NULL, payments int8 NOT NULL)`,
  )
  await sql.query(`CREATE PUBLICATION ${name} FOR TABLE ${name}.outbox`)
  await fleet.start({ managers: 1, workers: 0 })
  for (let i = 0; i < 2; i++) await fleet.addWorker(env)
})
afterAll(async () => {
  await fleet.stop()
  await sql.query(
    `SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = $1 AND active`,
    [name],
  )
  await sql.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1', [name])
  await sql.query(`DROP PUBLICATION ${name}`)
  await sql.query(`DROP SCHEMA ${name} CASCADE`)
  await sql.end()
})

const confirmed = async (): Promise<number> => {
  const slot = `SELECT (confirmed_flush_lsn - '0/0')::text AS bytes FROM pg_replication_slots WHERE slot_name = $1`
  return Number((await sql.query<{ bytes: string }>(slot, [name])).rows[0]!.bytes)
}
const balances = async (from: string): Promise<unknown[]> => (await sql.query(from)).rows as unknown[]
const written = (): Promise<unknown[]> =>
  balances(`SELECT account, sum_minor::text, payments::text FROM ${name}.balances ORDER BY account`)
const expected = (): Promise<unknown[]> =>
  balances(
    `SELECT account, sum(amount_minor)::text AS sum_minor, count(*)::text AS payments FROM ${name}.outbox GROUP BY account ORDER BY account`,
  )

test('a kill -9 of each task-manager while the outbox is written to: every balance is exact', async () => {
  const jobId = `changes-${fleet.run}`
  expect((await fleet.cli('submit', jobFile, '--id', jobId, '--set', `schema=${name}`)).stderr).toBe('')
  await fleet.until(jobId, 'an epoch', (j) => j.finalEpoch >= 1)
  const begun = await confirmed()
  const writer = (async () => {
    for (let n = 0; n < TRANSACTIONS; n++) {
      await sql.query(
        `INSERT INTO ${name}.outbox (account, amount_minor) SELECT 'account-' || (random() * 20)::int, (random() * 1000)::int FROM generate_series(1, 1 + ${n % 7})`,
      )
      await systemClock.sleep(10)
    }
  })()
  for (let kills = 1; kills <= 2; kills++) {
    const before = await fleet.job(jobId)
    await fleet.until(jobId, 'another epoch', (j) => j.finalEpoch > before.finalEpoch)
    await fleet.kill(fleet.workers[0]!)
    await fleet.addWorker(env)
    await fleet.until(jobId, 'a restart', (j) => j.restarts >= kills && j.state === 'RUNNING')
  }
  await writer
  const all = await expected()
  await expect.poll(written, { interval: 200 }).toEqual(all)
  // What is final is not kept for the job any more.
  await expect.poll(confirmed).toBeGreaterThan(begun)
  expect((await fleet.cli('cancel', jobId)).status).toBe(0)
  expect(await written()).toEqual(all)
})
