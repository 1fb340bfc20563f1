import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inputFiles, recordsOf } from './input.ts'
import { Reference, type Output } from './judge.ts'
import { planRuns } from './plan.ts'
import { CRASH_POINTS, CRASH_POINT_NAMES } from './points.ts'

describe('a plan', () => {
  test('has every point once in every round, and is the same for the same seed', () => {
    const runs = planRuns(7, CRASH_POINT_NAMES, 2)
    expect(runs.map(({ crashes }) => crashes[0]!.point)).toEqual([...CRASH_POINT_NAMES, ...CRASH_POINT_NAMES])
    expect(planRuns(7, CRASH_POINT_NAMES, 2)).toEqual(runs)
    expect(planRuns(8, CRASH_POINT_NAMES, 2)).not.toEqual(runs)
  })

  test('what a process meets once it dies at the first time; some die again in their successor', () => {
    const runs = planRuns(1, CRASH_POINT_NAMES, 20)
    for (const { point, nth } of runs.flatMap(({ crashes }) => crashes)) {
      if ('once' in CRASH_POINTS[point]) expect(nth).toBe(1)
    }
    expect(new Set(runs.map(({ crashes }) => crashes.length))).toEqual(new Set([1, 2]))
    expect(new Set(runs.flatMap(({ crashes }) => crashes.map(({ nth }) => nth)))).toEqual(new Set([1, 2, 3, 4]))
  })
})

describe('what came out', () => {
  const out = (key: string | null, value: string): Output => ({ topic: 'sums', key, value })
  const books = [out('ada', '1'), out('ada', '2'), out('bob', '1')]

  test('is counted by value where two runs agree, in any order', () => {
    const reference = new Reference(books, [...books].reverse())
    expect(reference.counted).toBe('by-value')
    expect(reference.judge(books)).toMatchObject({ lost: 0, duplicates: 0 })
    expect(reference.judge(books.slice(1))).toEqual({
      ...{ outputs: 2, lost: 1, duplicates: 0 },
      examples: ['sums, key ada, 1 is missing'],
    })
    expect(reference.judge([...books, out('bob', '1')])).toMatchObject({ lost: 0, duplicates: 1 })
    // A wrong value is one that is missing and one that nobody expected.
    expect(reference.judge([books[0]!, books[1]!, out('bob', '9')])).toMatchObject({ lost: 1, duplicates: 1 })
  })

  test('is counted by key where values depend on the order of partitions', () => {
    const reference = new Reference(books, [out('ada', '3'), out('ada', '2'), out('bob', '1')])
    expect(reference.counted).toBe('by-key')
    expect(reference.judge([out('ada', '7'), out('ada', '8'), out('bob', '9')])).toMatchObject({
      lost: 0,
      duplicates: 0,
    })
    expect(reference.judge([out('ada', '7'), out('bob', '9'), out('bob', '9')])).toEqual({
      ...{ outputs: 3, lost: 1, duplicates: 1 },
      examples: ['sums, key ada is missing', 'sums, key bob 2 times'],
    })
  })
})

describe('an input', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'weir-input-')), 'orders.ndjson')

  test('values, or records with key and time; lines that are no JSON are named', async () => {
    writeFileSync(
      file,
      '{"id":1}\n\n{"key":"k","value":{"id":2},"timestamp":9}\n{"value":null}\n{"value":1,"unit":"s"}\n',
    )
    const texts = (await recordsOf(file)).map(({ key, value, timestamp }) => [
      key && Buffer.from(key).toString(),
      value && Buffer.from(value).toString(),
      timestamp,
    ])
    expect(texts).toEqual([
      [null, '{"id":1}', 0],
      ['k', '{"id":2}', 9],
      [null, null, 3],
      [null, '{"value":1,"unit":"s"}', 4],
    ])
    writeFileSync(file, '{"id":1}\n{"id":')
    await expect(recordsOf(file)).rejects.toMatchObject({ code: 'INPUT_INVALID', facts: { place: `${file}:2` } })
    await expect(recordsOf(`${file}.gone`)).rejects.toMatchObject({ code: 'INPUT_INVALID' })
  })

  test('a file is named by its topic', () => {
    expect([...inputFiles(['a=b=c.ndjson'])]).toEqual([['a', 'b=c.ndjson']])
    expect(() => inputFiles(['orders.ndjson'])).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})
