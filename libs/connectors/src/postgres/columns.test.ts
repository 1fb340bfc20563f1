import { expect, test } from 'vitest'
import { columnOf, columnText, type Column } from './columns.ts'

const column = (kind: string, over: Partial<Column> = {}): Column => ({
  ...{
    name: 'c',
    type: `pg_catalog.${kind}`,
    shown: kind,
    kind,
    notNull: false,
    length: null,
    scale: null,
    labels: null,
  },
  ...over,
})
const money = column('numeric', { shown: 'numeric(6,2)', length: 6, scale: 2 })
const short = column('varchar', { shown: 'varchar(3)', length: 3 })
const color = column('enum', { labels: ['red', 'green'] })

test.each([
  [column('bool'), true, 'true'],
  [column('int2'), -32_768, '-32768'],
  [column('int4'), 2_147_483_647, '2147483647'],
  [column('int8'), 9_223_372_036_854_775_807n, '9223372036854775807'],
  [column('int8'), '-12', '-12'],
  [column('float8'), 0.1, '0.1'],
  [column('float8'), -Infinity, '-Infinity'],
  [column('float4'), 0.5, '0.5'],
  [column('numeric'), '123456789012345678901234567890.123', '123456789012345678901234567890.123'],
  [money, 1234.5, '1234.5'],
  [money, '0009999.9900', '0009999.9900'],
  [money, -0.01, '-0.01'],
  [short, 'äöü', 'äöü'],
  [short, '😀😀😀', '😀😀😀'],
  [column('text'), 12, '12'],
  [column('uuid'), '6f1ed002-ab5f-4ecd-a1a5-1bd0e0f1d2aa', '6f1ed002-ab5f-4ecd-a1a5-1bd0e0f1d2aa'],
  [column('jsonb'), { a: [1, null] }, '{"a":[1,null]}'],
  [column('jsonb'), 'a backslash, then letters: \\u0000', '"a backslash, then letters: \\\\u0000"'],
  [column('json'), 'x', '"x"'],
  [column('bytea'), Buffer.from([0, 255]), '\\x00ff'],
  [column('date'), '2026-02-28', '2026-02-28'],
  [column('timestamptz'), 1_750_000_000_123, '2025-06-15T15:06:40.123Z'],
  [column('timestamptz'), '2026-01-01T00:00:00.123456+02:00', '2026-01-01T00:00:00.123456+02:00'],
  [column('timestamp'), new Date(0), '1970-01-01T00:00:00.000Z'],
  [color, 'red', 'red'],
  [column('text'), undefined, null],
  [column('text'), null, null],
] as const)('%o takes %o', (of, value, text) => {
  expect(columnText(of, value)).toBe(text)
})

test.each([
  [column('bool'), 'true'],
  [column('int2'), 32_768],
  [column('int4'), 1.5],
  [column('int8'), 2 ** 53],
  [column('int8'), 2n ** 63n],
  [column('int8'), '1e3'],
  [column('int8'), true],
  [column('float4'), 0.1],
  [column('float8'), '0.1'],
  [column('numeric'), NaN],
  [column('numeric'), 1e21],
  [money, 0.001],
  [money, 10_000],
  [money, '1.'],
  [money, ''],
  [short, 'four'],
  [column('text'), 'a\0b'],
  [column('text'), '\ud800'],
  [column('text'), { a: 1 }],
  [column('uuid'), 'no'],
  [column('jsonb'), { a: 'x\0' }],
  [column('json'), () => 1],
  [column('bytea'), 'text'],
  [column('date'), '2026-02-30'],
  [column('date'), 0],
  [column('timestamptz'), '2026-01-01'],
  [column('timestamptz'), NaN],
  [column('timestamp'), '2026-01-01T00:00:00+02:00'],
  [color, 'blue'],
  [column('text', { notNull: true }), null],
] as const)('%o does not take %o: it would be refused or changed', (of, value) => {
  expect(() => columnText(of, value)).toThrow(
    expect.objectContaining({ code: 'ENCODE_FAILED', kind: 'invalid' }) as Error,
  )
})

test('limits come from the catalogue’s modifiers', () => {
  const row = { name: 'c', type: 't', shown: 's', kind: 'numeric', not_null: true, labels: null }
  expect(columnOf({ ...row, modifier: ((6 << 16) | 2) + 4 })).toMatchObject({ length: 6, scale: 2, notNull: true })
  expect(columnOf({ ...row, modifier: -1 })).toMatchObject({ length: null, scale: null })
  expect(columnOf({ ...row, kind: 'varchar', modifier: 7 })).toMatchObject({ length: 3, scale: null })
})
