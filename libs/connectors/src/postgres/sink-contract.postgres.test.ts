/** The contract of every sink, and what is PostgreSQL's own, on a real server. */
import { MemoryStagedOutput, contextOf, exactlyOnceSinkContract } from '@weir/dataflow/testing'
import { attempt, epoch, generation, subtask } from '@weir/model'
import { systemClock, systemRandom } from '@weir/runtime/system'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postgresUrl } from '../../../../test/stack/endpoints.ts'
import { PostgresDestination, StagedSink, postgresSinkOptions, type PostgresSinkOptions } from '../index.ts'

const schema = `weir_${systemRandom.nonce().slice(0, 8).replaceAll('-', '_')}`
const admin = new pg.Client({ connectionString: postgresUrl() })
process.env['WEIR_TEST_POSTGRES'] = postgresUrl()
beforeAll(async () => {
  await admin.connect()
  await admin.query(`CREATE SCHEMA ${schema}`)
})
afterAll(async () => {
  await admin.query(`DROP SCHEMA ${schema} CASCADE`)
  await admin.end()
})

let serial = 0
const sinkContext = (job = `j-${serial++}`, n = 0) => contextOf(job, 'out', { subtask: subtask(n) })
const optionsOf = (over: Partial<PostgresSinkOptions>): PostgresSinkOptions =>
  postgresSinkOptions({
    connector: 'postgres',
    url: 'env:WEIR_TEST_POSTGRES',
    columns: [{ column: 'v', from: '$value' }],
    key: [],
    origin: null,
    markers: `${schema}.weir_sinks`,
    ...over,
  })
const checkpoint = (n: number) => ({ epoch: epoch(n), generation: generation(1), attempt: attempt(1) })

/** A table of its own. */
async function table(columns: string): Promise<string> {
  const name = `${schema}.t${serial++}`
  await admin.query(`CREATE TABLE ${name} (${columns})`)
  return name
}
const sinkOf = (
  over: Partial<PostgresSinkOptions>,
  { context = sinkContext(), staged = new MemoryStagedOutput() } = {},
): StagedSink =>
  new StagedSink({
    context,
    clock: systemClock,
    staged,
    asides: null,
    destination: new PostgresDestination(optionsOf(over), context),
  })
const rowsOf = async (name: string, order = 'id'): Promise<unknown[]> =>
  (await admin.query(`SELECT * FROM ${name} ORDER BY ${order}`)).rows as unknown[]
const write = async (sink: StagedSink, ...values: unknown[]): Promise<void> =>
  sink.write({ keys: values.map(() => 'k'), values, timestamps: values.map((_, i) => i) })
/** One epoch, published. */
async function epochOf(sink: StagedSink, n: number, ...values: unknown[]): Promise<void> {
  await write(sink, ...values)
  const { sequence } = await sink.prepare(checkpoint(n))
  await sink.commit(sequence)
}

describe.each(['append', 'append with origin', 'upsert'])('%s', (how) => {
  exactlyOnceSinkContract(async () => {
    // Rows of an upsert have a key of their own here: the contract is about every one of them.
    const upsert = how === 'upsert'
    const name = await table(`id serial, v text ${upsert ? 'PRIMARY KEY' : 'NOT NULL'}, origin text UNIQUE`)
    const context = sinkContext()
    const staged = new MemoryStagedOutput()
    const options = optionsOf({
      table: name,
      key: upsert ? ['v'] : [],
      origin: how.endsWith('origin') ? 'origin' : null,
    })
    return {
      sink({ asides, encodeValue }) {
        const destination = new PostgresDestination(options, context)
        const encode = destination.encode.bind(destination)
        destination.encode = (batch, i) => {
          encodeValue(batch.values[i])
          return encode(batch, i)
        }
        return new StagedSink({ context, clock: systemClock, staged, asides, destination })
      },
      committed: async () =>
        (await rowsOf(name, upsert ? `length(v), v` : 'id')).map((row) => (row as { v: string }).v),
      leftovers: () => Promise.resolve(staged.stored.size),
      tells: { fenced: true, regression: true },
    }
  })
})

test('a row replaces the one with its key; of several in one transaction the last counts', async () => {
  const name = await table('id int PRIMARY KEY, total numeric(10,2) NOT NULL, at timestamptz')
  const columns = ['id', 'total'].map((column) => ({ column, from: column }))
  const over = { table: name, columns: [...columns, { column: 'at', from: '$timestamp' }], key: ['id'] }
  const sink = sinkOf(over)
  await sink.recover(null)
  await epochOf(sink, 1, { id: 1, total: '1.10' }, { id: 2, total: 2 }, { id: 1, total: 1.2 })
  await epochOf(sink, 2, { id: 2, total: 5 })
  expect(await rowsOf(name)).toEqual([
    { id: 1, total: '1.20', at: new Date(2) },
    { id: 2, total: '5.00', at: new Date(0) },
  ])
  await sink.close('leave')
})

test('the name of a row says where it is from', async () => {
  const name = await table('id serial, v text, weir_origin text UNIQUE')
  const context = sinkContext('orders', 3)
  const sink = sinkOf({ table: name, origin: 'weir_origin' }, { context })
  await sink.recover(null)
  await epochOf(sink, 1, 'a', 'b')
  await epochOf(sink, 2, 'c')
  expect((await rowsOf(name)).map((row) => (row as { weir_origin: string }).weir_origin)).toEqual([
    'orders/out/3/1/0',
    'orders/out/3/1/1',
    'orders/out/3/2/0',
  ])
  await sink.close('leave')
})

test('whatever text a value is, it arrives as it was', async () => {
  const name = await table('id serial, v text')
  const values = ['', 'NULL', 'null', '{a,"b"}', `'; DROP TABLE x; --`, '\\', '"', 'ü\n\t😀', '$1']
  const sink = sinkOf({ table: name })
  await sink.recover(null)
  await epochOf(sink, 1, ...values, null)
  expect((await rowsOf(name)).map((row) => (row as { v: string }).v)).toEqual([...values, null])
  await sink.close('leave')
})

test('every supported type is read back as it was written', async () => {
  await admin.query(`CREATE TYPE ${schema}.color AS ENUM ('red', 'green')`)
  const columns = {
    ...{ b: 'bool', i2: 'int2', i4: 'int4', i8: 'int8', f4: 'float4', f8: 'float8', n: 'numeric(8,3)' },
    ...{ t: 'text', vc: 'varchar(4)', c: 'char(2)', u: 'uuid', j: 'json', jb: 'jsonb', by: 'bytea', d: 'date' },
    ...{ tz: 'timestamptz', ts: 'timestamp', e: `${schema}.color` },
  }
  const name = await table(
    Object.entries(columns)
      .map(([column, type]) => `${column} ${type}`)
      .join(', '),
  )
  const row = {
    ...{ b: true, i2: -1, i4: 2, i8: 9007199254740993n, f4: 0.5, f8: 0.1, n: '12.345' },
    ...{ t: 'x', vc: 'äöüß', c: 'ab', u: '6f1ed002-ab5f-4ecd-a1a5-1bd0e0f1d2aa', j: { a: [1] }, jb: ['x', null] },
    ...{ by: Buffer.from([0, 1, 255]), d: '2026-02-28', tz: 1_750_000_000_123, ts: 0, e: 'green' },
  }
  const sink = sinkOf({ table: name, columns: Object.keys(columns).map((column) => ({ column, from: column })) })
  await sink.recover(null)
  await epochOf(sink, 1, row, {})
  const texts = Object.keys(columns).map((column) => `${column}::text`)
  const read = await admin.query({ text: `SELECT ${texts.join(', ')} FROM ${name}`, rowMode: 'array' })
  expect(read.rows).toEqual([
    [
      ...['true', '-1', '2', '9007199254740993', '0.5', '0.1', '12.345', 'x', 'äöüß', 'ab', row.u, '{"a":[1]}'],
      ...[
        '["x", null]',
        '\\x0001ff',
        '2026-02-28',
        expect.stringContaining('06:40.123'),
        '1970-01-01 00:00:00',
        'green',
      ],
    ],
    Object.keys(columns).map(() => null),
  ])
  await sink.close('leave')
})

test.each([
  ['TABLE_MISSING', { table: `${schema}.nothing` }],
  ['COLUMN_MISSING', { columns: [{ column: 'w', from: 'w' }] }],
  ['COLUMN_MISSING', { origin: 'nowhere' }],
  ['COLUMN_UNSUPPORTED', { columns: [{ column: 'p', from: 'p' }] }],
  ['KEY_NOT_UNIQUE', { key: ['v'] }],
  ['SECRET_MISSING', { url: 'env:WEIR_NOT_SET' }],
  ['SECRET_MISSING', { url: 'postgres://user:secret@host/db' }],
] as const)('%s is found before anything is written: %o', async (code, over) => {
  const name = await table('id serial, v text, p point')
  const refused = (async () => sinkOf({ table: name, ...over }).recover(null))()
  await expect(refused).rejects.toMatchObject({ code, kind: 'invalid' })
  await refused.catch((error: Error) => expect(error.message).not.toContain('weirsecret'))
})

test('a user who may not create the markers is told the statement', async () => {
  const user = `${schema}_user`
  const name = await table('id serial, v text')
  await admin.query(`CREATE ROLE ${user} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA ${schema} TO ${user}`)
  await admin.query(
    `GRANT SELECT, INSERT, UPDATE ON ${name} TO ${user}; GRANT USAGE ON SEQUENCE ${name}_id_seq TO ${user}`,
  )
  const url = new URL(postgresUrl())
  Object.assign(url, { username: user, password: 'x' })
  process.env['WEIR_TEST_POSTGRES_USER'] = url.href
  const over = { table: name, url: 'env:WEIR_TEST_POSTGRES_USER', markers: `${schema}.own_markers` }
  const refused = { code: 'MARKERS_MISSING', kind: 'invalid' }
  const thrown = (await sinkOf(over)
    .recover(null)
    .catch((error: unknown) => error)) as { facts: { statement: string } }
  expect(thrown).toMatchObject(refused)
  await admin.query(thrown.facts.statement)
  await admin.query(`GRANT SELECT, INSERT, UPDATE ON ${schema}.own_markers TO ${user}`)
  const sink = sinkOf(over)
  await sink.recover(null)
  await epochOf(sink, 1, 'a')
  expect(await rowsOf(name)).toMatchObject([{ v: 'a' }])
  await sink.close('leave')
  await admin.query(`DROP OWNED BY ${user}; DROP ROLE ${user}`)
})

test('rows that the table refuses stop the commit, none of them is written, and it goes on when the table takes them', async () => {
  const name = await table('id serial, v text, CONSTRAINT no_b CHECK (v <> $$b$$)')
  const [context, staged] = [sinkContext(), new MemoryStagedOutput()]
  const sink = sinkOf({ table: name }, { context, staged })
  await sink.recover(null)
  await write(sink, 'a', 'b')
  const state = await sink.prepare(checkpoint(1))
  const refused = { code: 'ROWS_REFUSED', kind: 'invalid', facts: { constraint: 'no_b' } }
  await expect(sink.commit(1)).rejects.toMatchObject(refused)
  await sink.close('leave')
  await expect(sinkOf({ table: name }, { context, staged }).recover(state)).rejects.toMatchObject(refused)
  expect(await rowsOf(name)).toEqual([])
  await admin.query(`ALTER TABLE ${name} DROP CONSTRAINT no_b`)
  await sinkOf({ table: name }, { context, staged }).recover(state)
  expect(await rowsOf(name)).toMatchObject([{ v: 'a' }, { v: 'b' }])
})

test('a database that has lost committed output, or its markers, stops the job', async () => {
  const name = await table('id serial, v text')
  const context = sinkContext()
  const sink = sinkOf({ table: name }, { context })
  await sink.recover(null)
  await epochOf(sink, 1, 'a')
  await epochOf(sink, 2, 'b')
  await write(sink, 'c')
  const state = await sink.prepare(checkpoint(3))
  await sink.close('leave')
  const markers = `${schema}.weir_sinks WHERE job = '${context.jobId}'`
  await admin.query(`UPDATE ${schema}.weir_sinks SET sequence = 1 WHERE job = '${context.jobId}'`)
  await expect(sinkOf({ table: name }, { context }).recover(state)).rejects.toMatchObject({ code: 'TRANSACTION_LOST' })
  await admin.query(`DELETE FROM ${markers}`)
  await expect(sinkOf({ table: name }, { context }).recover(state)).rejects.toMatchObject({
    code: 'TRANSACTION_UNKNOWN',
  })
  expect(await rowsOf(name)).toMatchObject([{ v: 'a' }, { v: 'b' }])
})

test('connections that break at any moment, also in a COMMIT, cost nothing', async () => {
  const name = await table('id serial, v text')
  const context = sinkContext()
  const sink = sinkOf({ table: name }, { context })
  await sink.recover(null)
  const all: string[] = []
  for (let n = 1; n <= 30; n++) {
    const values = Array.from({ length: 50 }, (_, i) => `${n}/${i}`)
    all.push(...values)
    await write(sink, ...values)
    await sink.prepare(checkpoint(n))
    const committed = sink.commit(n)
    // Somewhere between its BEGIN and the answer to its COMMIT, or behind it.
    await systemClock.sleep((n * 7) % 16)
    const mine = `application_name = 'weir ${context.jobId} out 0'`
    await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${mine}`)
    await committed
  }
  expect((await rowsOf(name)).map((row) => (row as { v: string }).v)).toEqual(all)
  await sink.close('leave')
})

test('two subtasks with the same keys do not hinder each other for good', async () => {
  const name = await table('id int PRIMARY KEY, v text')
  const columns = ['id', 'v'].map((column) => ({ column, from: column }))
  const sinks = [0, 1].map((n) => sinkOf({ table: name, columns, key: ['id'] }, { context: sinkContext('both', n) }))
  await Promise.all(sinks.map((sink) => sink.recover(null)))
  for (let n = 1; n <= 2; n++) {
    const ids = Array.from({ length: 2_500 }, (_, i) => i)
    await write(sinks[0]!, ...ids.map((id) => ({ id, v: `0 ${n}` })))
    await write(sinks[1]!, ...ids.toReversed().map((id) => ({ id, v: `1 ${n}` })))
    await Promise.all(sinks.map((sink) => sink.prepare(checkpoint(n))))
    await Promise.all(sinks.map((sink) => sink.commit(n)))
  }
  const { rows } = await admin.query<{ n: string }>(`SELECT count(*) AS n FROM ${name} WHERE v LIKE '% 2'`)
  expect(rows).toEqual([{ n: '2500' }])
  for (const sink of sinks) await sink.close('leave')
})
