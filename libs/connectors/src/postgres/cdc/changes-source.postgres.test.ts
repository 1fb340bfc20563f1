/** The contract of every source for a real replication slot, and what is its own. */
import type { SourceState, SubtaskContext } from '@weir/dataflow'
import { contextOf, replayableSourceContract } from '@weir/dataflow/testing'
import type { RowChange } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postgresUrl } from '../../../../../test/stack/endpoints.ts'
import { ChangesSource, type ChangePosition, type ChangesSourceOptions } from '../../index.ts'

const RECORDS = 30
const run = `cdc_${systemRandom.nonce().slice(0, 8).replaceAll('-', '_')}`
const sql = new pg.Client({ connectionString: postgresUrl() })
process.env['WEIR_TEST_POSTGRES'] = postgresUrl()
const slots: string[] = []
const readers: ChangesSource[] = []
beforeAll(async () => {
  await sql.connect()
  await sql.query(`CREATE SCHEMA ${run}`)
})
afterAll(async () => {
  for (const reader of readers) await reader.close()
  // The server lets a slot go when its reader's end has reached it.
  for (const slot of slots) {
    await sql.query(
      'SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = $1 AND active',
      [slot],
    )
    await sql.query('SELECT pg_drop_replication_slot($1)', [slot])
  }
  await sql.query(`DROP SCHEMA ${run} CASCADE`)
  await sql.query(
    `DO $$ DECLARE p text; BEGIN FOR p IN SELECT pubname FROM pg_publication WHERE pubname LIKE '${run}%' LOOP EXECUTE 'DROP PUBLICATION ' || p; END LOOP; END $$`,
  )
  await sql.end()
})

let serial = 0
/** A table of its own, published, with a slot that stands in front of everything. */
async function published(columns: string): Promise<{ table: string; options: ChangesSourceOptions }> {
  const name = `t${serial++}`
  const [table, slot] = [`${run}.${name}`, `${run}_${name}`]
  await sql.query(`CREATE TABLE ${table} (${columns})`)
  await sql.query(`CREATE PUBLICATION ${slot} FOR TABLE ${table}`)
  await sql.query(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`)
  slots.push(slot)
  return { table, options: { url: 'env:WEIR_TEST_POSTGRES', publication: slot, slot, until: 'none' } }
}
function sourceOf(options: ChangesSourceOptions, at: Partial<SubtaskContext> = {}): ChangesSource {
  const context = contextOf('changes', 'in', at)
  const source = new ChangesSource(options, { context, clock: systemClock })
  readers.push(source)
  return source
}
/** The next `count` changes, one poll after the other. */
async function next(source: ChangesSource, count: number): Promise<RowChange[]> {
  const changes: RowChange[] = []
  while (changes.length < count) {
    const polled = await source.poll(count - changes.length)
    if (polled === 'end') break
    if (typeof polled === 'object' && polled.kind === 'values') changes.push(...(polled.values as RowChange[]))
  }
  return changes
}
const ids = (changes: readonly RowChange[]): unknown[] => changes.map(({ after, before }) => (after ?? before)!['id'])
const throughJson = (state: SourceState): SourceState => JSON.parse(JSON.stringify(state)) as SourceState
const confirmed = async (slot: string): Promise<string> =>
  (
    await sql.query<{ lsn: string }>(
      'SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots WHERE slot_name = $1',
      [slot],
    )
  ).rows[0]!.lsn

describe('the contract', () => {
  let made: Promise<ChangesSourceOptions> | null = null
  replayableSourceContract(async () => {
    made ??= (async () => {
      const { table, options } = await published('id int PRIMARY KEY')
      // Transactions of 1, 2, 3 … changes: cuts fall inside of them.
      for (let id = 0, size = 1; id < RECORDS; id += size++) {
        const last = Math.min(RECORDS, id + size) - 1
        await sql.query(`INSERT INTO ${table} SELECT generate_series(${id}, ${last})`)
      }
      return options
    })()
    const options = await made
    return {
      reader: ({ bounded, ...at }) => sourceOf({ ...options, until: bounded ? 'latest' : 'none' }, at),
      splits: 1,
      recordsPerSplit: RECORDS,
      names: (batch) => (batch.kind === 'values' ? ids(batch.values as RowChange[]).map(String) : []),
      impossible: {
        position: { 0: { lsn: 'no', transaction: null, changes: 0, offset: 0, end: null } },
        code: 'POSITION_INVALID',
      },
    }
  })
})

test('rows come as they were changed, transaction after transaction in the order of their commits', async () => {
  const { table, options } = await published(
    'id int PRIMARY KEY, v text, n numeric(10,2), big int8, j jsonb, at timestamp, b bool',
  )
  const other = new pg.Client({ connectionString: postgresUrl() })
  await other.connect()
  await other.query('BEGIN')
  await other.query(`INSERT INTO ${table} (id, v) VALUES (2, 'begun first, committed last')`)
  await sql.query(
    `INSERT INTO ${table} VALUES (1, 'a', 1.50, 9007199254740993, '{"x":[1]}', '2026-01-02 03:04:05', true)`,
  )
  await other.query('COMMIT')
  await other.end()
  await sql.query(`UPDATE ${table} SET v = NULL WHERE id = 1`)
  await sql.query(`UPDATE ${table} SET id = 3 WHERE id = 2`)
  await sql.query(`DELETE FROM ${table} WHERE id = 1`)
  const source = sourceOf(options)
  await source.open(null)
  const row = { id: 1, v: 'a', n: '1.50', big: '9007199254740993', j: { x: [1] }, at: '2026-01-02 03:04:05', b: true }
  const changes = await next(source, 5)
  expect(
    changes.map(({ operation, before, after }) => [operation, before?.['id'] ?? null, after?.['id'] ?? null]),
  ).toEqual([
    ['insert', null, 1],
    ['insert', null, 2],
    ['update', null, 1],
    ['update', 2, 3],
    ['delete', 1, null],
  ])
  expect(changes[0]).toMatchObject({ table, after: row })
  expect(changes[2]!.after).toEqual({ ...row, v: null })
  expect(Math.abs(changes[0]!.committedAt - Date.now())).toBeLessThan(60_000)
})

test('the slot is confirmed up to what is final, and never inside of a transaction', async () => {
  const { table, options } = await published('id int PRIMARY KEY')
  await sql.query(`INSERT INTO ${table} SELECT generate_series(1, 2)`)
  await sql.query(`INSERT INTO ${table} SELECT generate_series(3, 6)`)
  const source = sourceOf(options)
  await source.open(null)
  const start = await confirmed(options.slot)
  expect(ids(await next(source, 4))).toEqual([1, 2, 3, 4])
  const state = throughJson(source.snapshot())
  expect(await confirmed(options.slot)).toBe(start)
  source.committed(state)
  // Not one byte more: a transaction may begin to commit right there.
  await expect.poll(() => confirmed(options.slot)).toBe((state[0] as ChangePosition).lsn)
  expect(ids(await next(source, 2))).toEqual([5, 6])
  // Killed; the next one goes on behind the fourth, though the slot stands in front of the third.
  const second = sourceOf(options)
  await second.open(state)
  expect(ids(await next(second, 2))).toEqual([5, 6])
  await expect(next(source, 1)).rejects.toMatchObject({ kind: 'restart' })
})

test('an older position than the slot stands for, and a slot that is gone, are found out', async () => {
  const { table, options } = await published('id int PRIMARY KEY')
  const source = sourceOf(options)
  await source.open(null)
  const older = throughJson(source.snapshot())
  for (const id of [1, 2]) await sql.query(`INSERT INTO ${table} VALUES (${id})`)
  await next(source, 2)
  await source.poll(1) // the end of the transaction
  const start = await confirmed(options.slot)
  source.committed(throughJson(source.snapshot()))
  await expect.poll(() => confirmed(options.slot)).not.toBe(start)
  await source.close()
  await expect(sourceOf(options).open(older)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', kind: 'invalid' })
  const gone = { ...options, slot: `${run}_gone` }
  await expect(sourceOf(gone).open(older)).rejects.toMatchObject({ code: 'SLOT_MISSING', kind: 'invalid' })
  const unpublished = { ...options, publication: 'nowhere' }
  await expect(sourceOf(unpublished).open(null)).rejects.toMatchObject({ code: 'PUBLICATION_MISSING', kind: 'invalid' })
})

test('what is no change of a row, or a row that is not sent wholly, is refused and not passed on', async () => {
  const { table, options } = await published('id int PRIMARY KEY, long text, v int')
  const source = sourceOf(options)
  await source.open(null)
  await sql.query(`ALTER TABLE ${table} ALTER long SET STORAGE EXTERNAL`)
  await sql.query(`INSERT INTO ${table} VALUES (1, repeat('x', 10000), 1)`)
  await sql.query(`UPDATE ${table} SET v = 2`)
  expect(ids(await next(source, 1))).toEqual([1])
  await expect(next(source, 1)).rejects.toMatchObject({
    code: 'VALUE_NOT_SENT',
    kind: 'invalid',
    facts: { column: 'long' },
  })
  const { table: second, options: at } = await published('id int PRIMARY KEY')
  const truncated = sourceOf(at)
  await truncated.open(null)
  await sql.query(`TRUNCATE ${second}`)
  await expect(next(truncated, 1)).rejects.toMatchObject({ code: 'TRUNCATED', kind: 'invalid' })
})

test('more changes than are buffered: the stream waits, and all arrive in order', async () => {
  const { table, options } = await published('id int PRIMARY KEY')
  await sql.query(`INSERT INTO ${table} SELECT generate_series(1, 45000)`)
  const source = sourceOf(options)
  await source.open(null)
  const changes: unknown[] = []
  while (changes.length < 45_000) changes.push(...ids(await next(source, 500)))
  expect(changes).toEqual(Array.from({ length: 45_000 }, (_, i) => i + 1))
})
