import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inputFiles, recordsOf } from './input.ts'
import { Trap, arm, happened } from './armed.ts'
import { GrpcMessages } from './grpc-messages.ts'
import { Reference, isSame, type Output } from './judge.ts'
import { planRuns } from './plan.ts'
import { CRASH_POINTS, CRASH_POINT_NAMES } from './points.ts'
import { Hold } from './trial.ts'

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

describe('a crash', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-crashes-'))
  const trap = (role: 'task-manager' | 'job-manager' = 'task-manager'): Trap => new Trap({ folder, role })

  test('comes at the n-th time, in the first process that gets there, and in no other', () => {
    const armed = { run: 'first', crashes: [{ point: 'before-commit', nth: 2 } as const] }
    const [one, other, leader] = [trap(), trap(), trap('job-manager')]
    expect(one.springs('command', 'commit')).toBe(false) // nothing is armed
    arm(folder, armed)
    expect(one.springs('command', 'commit')).toBe(false)
    expect(one.springs('report', 'committed')).toBe(false) // another point
    expect(leader.springs('command', 'commit')).toBe(false)
    expect(leader.springs('command', 'commit')).toBe(false) // a point of task-managers
    expect(other.springs('command', 'commit')).toBe(false)
    expect(happened(folder, armed)).toBe(0)
    expect(other.springs('command', 'commit')).toBe(true)
    expect(happened(folder, armed)).toBe(1)
    expect(one.springs('command', 'commit')).toBe(false)
  })

  test('that is to follow another one is counted from there on', () => {
    const crashes = [
      { point: 'leader-before-commit', nth: 1 },
      { point: 'before-recovery', nth: 1 },
    ] as const
    arm(folder, { run: 'second', crashes })
    const [worker, leader] = [trap(), trap('job-manager')]
    expect(worker.springs('command', 'recover')).toBe(false)
    expect(leader.springs('command', 'commit')).toBe(true)
    expect(worker.springs('command', 'recover')).toBe(true)
    expect(happened(folder, { run: 'second', crashes })).toBe(2)
  })
})

test('messages of a gRPC stream are found however its bytes are cut', () => {
  const message = (text: string): Buffer => {
    const header = Buffer.alloc(5)
    header.writeUInt32BE(text.length, 1)
    return Buffer.concat([header, Buffer.from(text)])
  }
  const bytes = Buffer.concat(['trigger', '', 'commit'].map(message))
  for (const size of [1, 3, 7, bytes.length]) {
    const messages = new GrpcMessages()
    const found: string[] = []
    for (let at = 0; at < bytes.length; at += size) {
      for (const one of messages.add(bytes.subarray(at, at + size))) found.push(Buffer.from(one).toString())
    }
    expect(found).toEqual(['trigger', '', 'commit'])
  }
})

test('input is held while a crash is to come: it does not end by itself, and is let go at once, or after 20 s', () => {
  const hold = new Hold()
  expect(hold.shareAt(900, false)).toBeNull() // as it was submitted
  let read = 0.1
  for (let second = 1; second < 20; second++) {
    const share = hold.shareAt(second * 1_000, false)!
    read += share
    hold.told(share)
    expect(hold.shareAt(second * 1_000 + 500, false)).toBeNull()
  }
  expect(read).toBeLessThan(0.8)
  expect(hold.shareAt(19_500, true)).toBe(1)
  expect(hold.shareAt(20_500, false)).toBe(1)
  hold.told(1)
  expect(hold.shareAt(21_000, true)).toBeNull()
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

describe('what two runs without a crash do not agree in', () => {
  const late = (n: number): Output[] =>
    Array.from({ length: n }, (_, i) => ({ topic: 'late', key: null, value: `${i}` }))
  const sum = (value: string): Output => ({ topic: 'sums', key: 'ada', value })

  test('even in number is not judged, and named', () => {
    const reference = new Reference([sum('1'), ...late(3)], [sum('2'), ...late(4)])
    expect(reference).toMatchObject({ counted: 'by-key', varying: ['late, no key'] })
    expect(reference.judge([sum('9'), ...late(7)])).toMatchObject({ lost: 0, duplicates: 0 })
    expect(reference.judge(late(3))).toMatchObject({ lost: 1, duplicates: 0 })
  })

  test('is asked for only where a run with a crash differs', () => {
    expect(isSame([sum('1'), sum('2')], [sum('2'), sum('1')])).toBe(true)
    expect(isSame([sum('1'), sum('1')], [sum('1')])).toBe(false)
    expect(new Reference(late(3), null)).toMatchObject({ counted: 'by-value', varying: [] })
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
