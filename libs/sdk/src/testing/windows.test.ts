/** Windows in a job, over restarts and at other parallelisms. */
import { expect, test } from 'vitest'
import type { WindowResult } from '@weir/dataflow'
import { everyEventTime, job, json, kafka, session, sliding, tumbling, type WindowOut } from '../index.ts'
import { testJob } from './index.ts'

interface Visit {
  readonly user: string
  readonly ts: number
}
const visits = job('visits', (flow) => {
  const byUser = flow.from(kafka.topic('visits', { value: json<Visit>(), timestamp: (v) => v.ts })).keyBy((v) => v.user)
  const recent = byUser.window(sliding('10s', '5s')).allowedLateness('20s').count('recent')
  recent.to(kafka.sink('recent'))
  recent.sideOutput('late').to(kafka.sink('late'))
  byUser.window(session('4s')).count('sessions').to(kafka.sink('sessions'))
  byUser.window(tumbling('1m')).trigger(everyEventTime('20s')).count('minutes').to(kafka.sink('minutes'))
})
const at = (seconds: number, user = 'ada'): Visit => ({ user, ts: seconds * 1_000 })

test('open windows, fired ones and sessions survive restarts and rescales: nothing fires twice, nothing is lost', async () => {
  for (const restarts of [[], [1, 1, 1], [3, 2, 1], [2, 4, 3]]) {
    const t = testJob(visits)
    const [first, second, third] = restarts
    const restart = async (parallelism: number | undefined): Promise<void> => {
      if (parallelism === undefined) return
      await t.checkpoint()
      await t.restart({ parallelism })
    }
    await t.feed('visits', [at(1), at(3), at(3, 'bob'), at(6)])
    await restart(first)
    await t.feed('visits', [at(9), at(12, 'bob'), at(13)])
    await restart(second)
    await t.feed('visits', [at(7), at(2, 'bob'), at(31)]) // in windows that have fired
    await restart(third)
    await t.feed('visits', [at(3)]) // too late
    await t.advanceWatermark(120_000)
    const results = (sink: string): unknown[] =>
      t
        .output<WindowResult<number>>(sink)
        .map(({ key, value: { start, end, value } }) => [key, start / 1_000, end / 1_000, value])
        .sort((a, b) => Number(a[2]) - Number(b[2]) || (String(a[0]) < String(b[0]) ? -1 : 1))
    expect(results('recent'), String(restarts)).toEqual([
      ['ada', -5, 5, 2],
      ['bob', -5, 5, 1],
      ['bob', -5, 5, 2],
      ['ada', 0, 10, 4],
      ['ada', 0, 10, 5],
      ['bob', 0, 10, 1],
      ['bob', 0, 10, 2],
      ['ada', 5, 15, 4],
      ['bob', 5, 15, 1],
      ['ada', 10, 20, 1],
      ['bob', 10, 20, 1],
      ['ada', 25, 35, 1],
      ['ada', 30, 40, 1],
    ])
    expect(t.output('late').map(({ value }) => value)).toEqual([at(3)])
    expect(results('sessions')).toEqual([
      ['bob', 3, 7, 1],
      ['ada', 1, 13, 4],
      ['bob', 12, 16, 1],
      ['ada', 13, 17, 1],
      ['ada', 31, 35, 1],
    ])
    // Early at 20 s and 40 s of event time, and at the end of the minute.
    expect(results('minutes').at(-1)).toEqual(['bob', 0, 60, 3])
    await t.close()
  }
})

test('records that wait for their window survive restarts and rescales: each function is given all of them once', async () => {
  const readings = job('readings', (flow) => {
    flow
      .from(kafka.topic('visits', { value: json<Visit>(), timestamp: (v) => v.ts }))
      .keyBy((v) => v.user)
      .window(sliding('10s', '5s'))
      .process('times', (all, { key, window: { end } }, out: WindowOut<string>) =>
        out.emit(`${key} ${end / 1_000}: ${all.map(({ ts }) => ts / 1_000).join()}`),
      )
      .to(kafka.sink('times'))
  })
  for (const restarts of [[], [1, 1], [3, 2]]) {
    const t = testJob(readings)
    for (const [i, some] of [[at(1), at(3, 'bob'), at(4)], [at(6), at(2)], [at(13)]].entries()) {
      await t.feed('visits', some)
      if (restarts[i] === undefined) continue
      await t.checkpoint()
      await t.restart({ parallelism: restarts[i] })
    }
    await t.advanceWatermark(120_000)
    const out = t.output<string>('times').map(({ value }) => value)
    expect(out.sort(), String(restarts)).toEqual([
      ...['ada 10: 1,4,2,6', 'ada 15: 6,13', 'ada 20: 13', 'ada 5: 1,4,2', 'bob 10: 3', 'bob 5: 3'],
    ])
    await t.close()
  }
})
