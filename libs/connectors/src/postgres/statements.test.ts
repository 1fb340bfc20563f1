import { expect, test } from 'vitest'
import type { Column } from './columns.ts'
import { insertStatement, quotedPath } from './statements.ts'

const column = (name: string, type: string): Column => ({
  name,
  type: `pg_catalog.${type}`,
  shown: type,
  kind: type,
  notNull: false,
  length: null,
  scale: null,
  labels: null,
})
const columns = [column('id', 'text'), column('odd "name"', 'int8')]

test('names are quoted, whatever is in them', () => {
  expect(quotedPath('public.odd"; DROP TABLE t')).toBe('"public"."odd""; DROP TABLE t"')
})

test('rows are appended in their order', () => {
  expect(insertStatement({ table: 't', columns, key: [], origin: null })).toBe(
    'INSERT INTO "t" ("id", "odd ""name""") SELECT r.c0, r.c1 ' +
      'FROM unnest($1::pg_catalog.text[], $2::pg_catalog.int8[]) WITH ORDINALITY AS r(c0, c1, n) ORDER BY r.n',
  )
})

test('with an origin column a row that is there is left alone', () => {
  expect(insertStatement({ table: 't', columns: [columns[0]!], key: [], origin: 'o' })).toBe(
    'INSERT INTO "t" ("id", "o") SELECT r.c0, r.c1 ' +
      'FROM unnest($1::pg_catalog.text[], $2::pg_catalog.text[]) WITH ORDINALITY AS r(c0, c1, n) ORDER BY r.n ON CONFLICT ("o") DO NOTHING',
  )
})

test('with a key the last row of a run replaces what is there', () => {
  expect(insertStatement({ table: 't', columns, key: ['id'], origin: null })).toBe(
    'INSERT INTO "t" ("id", "odd ""name""") SELECT DISTINCT ON (r.c0) r.c0, r.c1 ' +
      'FROM unnest($1::pg_catalog.text[], $2::pg_catalog.int8[]) WITH ORDINALITY AS r(c0, c1, n) ORDER BY r.c0, r.n DESC ' +
      'ON CONFLICT ("id") DO UPDATE SET "odd ""name""" = EXCLUDED."odd ""name"""',
  )
})

test('a table that is nothing but its key has nothing to update', () => {
  expect(insertStatement({ table: 't', columns: [columns[0]!], key: ['id'], origin: null })).toMatch(
    /ON CONFLICT \("id"\) DO NOTHING$/,
  )
})
