/** What every `Topics` must do, and with it what replays promise, beside the two-phase sink of the same server. */
import { WeirError, attempt, generation, operatorUid, type AsideRecord } from '@weir/model'
import { afterEach, expect, test } from 'vitest'
import { deadLetter, type Refusal } from '../dead-letter.ts'
import type { SinkAsides, TwoPhaseSink } from '../ports.ts'
import { listDeadLetters, replayDeadLetters, replayer, type ReplayWish } from '../replay.ts'
import type { Topics } from '../topics.ts'
import { checkpoint } from './sink-calls.ts'

export interface TopicsHarness {
  readonly topics: Topics
  /** Two partitions each. */
  readonly dead: string
  readonly source: string
  readonly missing: string
  /** Replays are by job: one that no other test uses. */
  readonly job: string
  /** What was committed is in the log. */
  settled(): Promise<void>
  /** Values are text; its asides go to `dead`. A new instance of the same subtask, pool of 3. */
  sink(asides: SinkAsides): TwoPhaseSink
  /** What a reader with read_committed sees in the source's topic, in order of the partitions: `partition key=value headers`. */
  replayed(): Promise<string[]>
}

const text = (value: string): Uint8Array => Buffer.from(value)

export function topicsContract(make: () => Promise<TopicsHarness>): void {
  const opened: TwoPhaseSink[] = []
  afterEach(async () => {
    for (const sink of opened.splice(0)) await sink.close('abort').catch(() => undefined)
  })
  const started = async (harness: TopicsHarness, sequence = 0): Promise<TwoPhaseSink> => {
    const sink = harness.sink({ topics: [harness.dead], refuse: () => undefined, known: null, audit: null })
    opened.push(sink)
    await sink.recover({ sequence, handles: [] })
    return sink
  }
  let offsets = 0
  const letter = (
    { source, dead, job: jobId }: TopicsHarness,
    of: { partition?: number; offset?: number; whole?: boolean; replays?: number; job?: string } = {},
  ): AsideRecord => {
    const { partition = 0, offset = offsets++, whole = true, replays = 0, job = jobId } = of
    const replayHeaders = { attempt: String(replays), first: `${source}/1/7`, id: 'earlier' }
    const named = Object.entries(replays > 0 ? replayHeaders : {})
    const record = {
      key: text('k'),
      value: text(`v${offset}`),
      timestamp: 1_750_000_000_000,
      headers: [
        ['trace', text('t')] as const,
        ...named.map(([name, value]) => [`weir.replay.${name}`, text(value)] as const),
      ],
    }
    const refusal: Refusal = {
      operatorUid: operatorUid('checked'),
      error: new WeirError({ code: 'OPERATOR_FAILED', kind: 'invalid' }, 'it failed'),
      ...{ value: undefined, key: null, timestamp: null, whole, record },
      origin: { place: 0, offset, ordinal: null },
    }
    const run = { generation: generation(1), attempt: attempt(1) }
    const place = { topic: dead, jobId: job, attempt: run, origin: { topic: source, partition }, partition }
    return deadLetter(refusal, place, null)
  }
  /** In committed transactions, one after the other. */
  const put = async (harness: TopicsHarness, ...transactions: AsideRecord[][]): Promise<void> => {
    const sink = await started(harness)
    for (const [i, records] of transactions.entries()) {
      await sink.writeAside(records)
      await sink.prepare(checkpoint(i + 1))
      await sink.commit(i + 1)
    }
    await harness.settled()
  }
  const wish = ({ dead, job }: TopicsHarness, replayId: string, origins: string[] | null = null): ReplayWish => ({
    topic: dead,
    jobId: job,
    origins,
    replayId,
  })
  const list = async ({ topics, dead, job, settled }: TopicsHarness) => {
    await settled()
    return listDeadLetters(topics, { topic: dead, jobId: job }, { from: null, limit: 100 })
  }

  test('committed records are read, also behind an open transaction; open and aborted ones are not', async () => {
    const harness = await make()
    await put(harness, [letter(harness, { offset: 1 })])
    const other = await started(harness, 1)
    await other.writeAside([letter(harness, { offset: 2 })]) // aborted by the recovery of the next one
    await other.prepare(checkpoint(1))
    const last = await started(harness, 1)
    await last.writeAside([letter(harness, { offset: 3 })])
    await last.prepare(checkpoint(1)) // open
    await last.writeAside([letter(harness, { offset: 4 })])
    await last.prepare(checkpoint(2))
    expect((await list(harness)).letters.map((l) => l.value)).toEqual(['v1'])
    const transaction = await harness.topics.begin(replayer(`${harness.job}-2`))
    await transaction.write([letter(harness, { offset: 5 })])
    expect((await list(harness)).letters.map((l) => l.value)).toEqual(['v1'])
    await transaction.commit()
    expect((await list(harness)).letters.map((l) => l.value)).toEqual(['v1', 'v5'])
    await last.commit(2)
    expect((await list(harness)).letters.map((l) => l.value)).toEqual(['v1', 'v3', 'v5'])
  })

  test('a list names origin, operator, error and try; pages join without gap or repeat', async () => {
    const harness = await make()
    const { source, dead, topics, job } = harness
    await put(harness, [
      letter(harness, { offset: 10, replays: 2 }),
      letter(harness, { offset: 11, job: 'another' }),
      letter(harness, { offset: 12, partition: 1, whole: false }),
      letter(harness, { offset: 13, partition: 1 }),
    ])
    const { letters } = await list(harness)
    const same = { operator: 'checked', error: 'OPERATOR_FAILED', message: 'it failed', ordinal: null, replayed: null }
    const record = { timestamp: 1_750_000_000_000, key: 'k', valueBytes: 3 }
    expect(letters).toMatchObject([
      { ...same, ...record, origin: `${source}/0/10`, first: `${source}/1/7`, attempt: 3, replay: 'whole' },
      { ...same, ...record, origin: `${source}/1/12`, first: null, attempt: 1, replay: 'partial' },
      { ...same, ...record, origin: `${source}/1/13`, first: null, attempt: 1, replay: 'whole' },
    ])
    const paged: string[] = []
    let from: { partition: number; offset: number } | null = null
    do {
      const page = await listDeadLetters(topics, { topic: dead, jobId: job }, { from, limit: 1 })
      paged.push(...page.letters.map((l) => l.value!))
      expect(page.letters.length).toBeLessThanOrEqual(1)
      from = page.next
    } while (from !== null)
    expect(paged).toEqual(['v10', 'v12', 'v13'])
  })

  test('a replay puts the record back where it was, once, however often it is asked for', async () => {
    const harness = await make()
    const { source, topics } = harness
    await put(harness, [
      letter(harness, { offset: 20, partition: 1, replays: 1 }),
      letter(harness, { offset: 21 }),
      letter(harness, { offset: 22, whole: false }),
      letter(harness, { offset: 23, job: 'another' }),
    ])
    const first = await replayDeadLetters(topics, wish(harness, 'r1', [`${source}/1/20`, `${source}/0/99`]))
    const unknown = [{ origin: `${source}/0/99`, why: 'no dead letter of this job has this origin' }]
    expect(first).toEqual({ replayId: 'r1', replayed: 1, before: 0, refused: unknown, more: false })
    const back = `1 k=v20 trace=t,weir.replay.attempt=2,weir.replay.first=${source}/1/7,weir.replay.id=r1`
    await harness.settled()
    expect(await harness.replayed()).toEqual([back])
    expect(await replayDeadLetters(topics, wish(harness, 'r2'))).toMatchObject({ replayed: 1, before: 1, refused: [] })
    const other = `0 k=v21 trace=t,weir.replay.attempt=1,weir.replay.first=${source}/0/21,weir.replay.id=r2`
    await harness.settled()
    expect(await harness.replayed()).toEqual([other, back])
    for (const origins of [null, [`${source}/0/21`]]) {
      expect(await replayDeadLetters(topics, wish(harness, 'r3', origins))).toMatchObject({ replayed: 0 })
    }
    expect(await replayDeadLetters(topics, wish(harness, 'r4', [`${source}/0/22`]))).toMatchObject({
      replayed: 0,
      refused: [{ origin: `${source}/0/22`, why: expect.stringContaining('"checked"') as string }],
    })
    await harness.settled()
    expect(await harness.replayed()).toEqual([other, back])
    expect((await list(harness)).letters.map((l) => l.replayed)).toEqual(['r2', null, 'r1'])
  })

  test('receipts count that lie behind an open transaction of the job', async () => {
    const harness = await make()
    await put(harness, [letter(harness, { offset: 30 })])
    const sink = await started(harness, 1)
    await sink.writeAside([letter(harness, { offset: 31 })])
    await sink.prepare(checkpoint(1))
    expect(await replayDeadLetters(harness.topics, wish(harness, 'r1'))).toMatchObject({ replayed: 1 })
    expect(await replayDeadLetters(harness.topics, wish(harness, 'r2'))).toMatchObject({ replayed: 0, before: 1 })
    await harness.settled()
    expect(await harness.replayed()).toHaveLength(1)
  })

  test('a replay that dies before its commit has done nothing; the next one takes its id over', async () => {
    const harness = await make()
    const { topics } = harness
    await put(harness, [letter(harness, { offset: 40 })])
    let died: Promise<unknown> = Promise.resolve()
    const dies: Topics = {
      read: (...of) => topics.read(...of),
      close: () => topics.close(),
      async begin(id) {
        const transaction = await topics.begin(id)
        return {
          write: (records) => transaction.write(records),
          commit: () => {
            died = replayDeadLetters(topics, wish(harness, 'second'))
            return died.then(() => transaction.commit())
          },
        }
      },
    }
    await expect(replayDeadLetters(dies, wish(harness, 'first'))).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })
    expect(await died).toMatchObject({ replayed: 1, replayId: 'second' })
    await harness.settled()
    expect(await harness.replayed()).toHaveLength(1)
    expect(await replayDeadLetters(topics, wish(harness, 'third'))).toMatchObject({ replayed: 0, before: 1 })
  })

  test('a topic that is not there is named', async () => {
    const { topics, missing, job } = await make()
    const asked = listDeadLetters(topics, { topic: missing, jobId: job }, { from: null, limit: 1 })
    await expect(asked).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC', kind: 'invalid' })
  })
}
