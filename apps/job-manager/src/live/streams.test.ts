/** Bounds of the streams of events, with a client that does not read. */
import { jobId } from '@weir/model'
import { systemClock } from '@weir/runtime/system'
import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { NOTICES_KEPT, Notices } from './notices.ts'
import { changes, type LiveEvent } from './picture.ts'
import { LIVE_DEFAULTS, LiveStreams, type LiveTerm, type Out } from './streams.ts'

class Client extends EventEmitter implements Out {
  writableLength = 0
  destroyed = false
  ended = false
  readonly texts: string[] = []
  write(text: string): void {
    this.texts.push(text)
  }
  end(): void {
    this.ended = true
    this.emit('close')
  }
  destroy(): void {
    this.destroyed = true
    this.emit('close')
  }
}

const term = (): LiveTerm => ({
  ...{ generation: 7, notices: new Notices(systemClock), list: () => [], checkpoints: () => [] },
  get: (id) => {
    throw new Error(`no ${id}`)
  },
})
const streams = (over: Partial<typeof LIVE_DEFAULTS> = {}): LiveStreams =>
  new LiveStreams({ ...LIVE_DEFAULTS, tickMs: 60_000, ...over }, { clock: systemClock, fleet: () => [] })

test('one stream more than the bound is refused, and there is room again when one closes', () => {
  const live = streams({ streamsMax: 1 })
  const [of, first] = [term(), new Client()]
  live.open(of, null, undefined, () => first)
  expect(() => live.open(of, null, undefined, () => new Client())).toThrow(/1 streams of events are open/)
  first.destroy()
  live.open(of, null, undefined, () => new Client())
  expect(live.size).toBe(1)
  live.closeAll()
})

test('who does not read is closed at the bound, the others go on', () => {
  const live = streams({ waitingBytesMax: 100 })
  const [of, slow, quick] = [term(), new Client(), new Client()]
  for (const client of [slow, quick]) live.open(of, null, undefined, () => client)
  slow.writableLength = 101
  of.notices.add('weir:job:state', { jobId: 'a', state: 'RUNNING' })
  expect([slow.destroyed, quick.destroyed]).toEqual([true, false])
  expect(quick.texts.at(-1)).toMatch(/^event: notice\nid: 7-1\ndata: .*"state":"RUNNING"/)
  expect(live.size).toBe(1)
  live.closeAll()
  expect(quick.ended).toBe(true)
})

test('a job that is not there opens nothing', () => {
  const live = streams()
  expect(() => live.open(term(), jobId('a'), undefined, () => new Client())).toThrow('no a')
  expect(live.size).toBe(0)
})

test('who has gone while it was accepted is not kept', () => {
  const live = streams()
  const gone = new Client()
  gone.destroyed = true
  live.open(term(), null, undefined, () => gone)
  expect(live.size).toBe(0)
})

test('notices are kept up to their bound, and a gap is said', () => {
  const notices = new Notices(systemClock)
  for (let i = 0; i <= NOTICES_KEPT; i++) notices.add('weir:job:state', { jobId: 'a' })
  notices.add('weir:job:slice-finalized', { jobId: 'a' }) // one per slice and epoch: not told
  expect(notices.since(0)).toMatchObject({ missed: true })
  expect(notices.since(1)).toMatchObject({ missed: false })
  expect(notices.since(1).notices.length).toBe(NOTICES_KEPT)
})

test('what is as it was is not sent again', () => {
  const at = (data: string): LiveEvent => ({ event: 'job', data })
  const before = new Map([
    ['a', at('1')],
    ['b', at('1')],
  ])
  expect(changes(before, new Map([...before, ['b', at('2')], ['c', at('1')]]))).toEqual([at('2'), at('1')])
})
