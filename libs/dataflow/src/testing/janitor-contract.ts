/** What every transaction janitor must do, beside the two-phase sink of the same server. */
import { afterEach, expect, test } from 'vitest'
import type { TransactionJanitor, TransactionName } from '../janitor.ts'
import type { TwoPhaseSink } from '../ports.ts'
import { checkpoint, write } from './sink-calls.ts'

export interface JanitorHarness {
  /** Of every id the sinks below use, and of no other. */
  readonly prefix: string
  readonly janitor: TransactionJanitor
  /** A new instance for the same subtask, pool of 3. Values are text. */
  sink(): TwoPhaseSink
  /** Values an outside reader with read_committed sees, once everything that was decided is in the log. */
  committed(): Promise<string[]>
}

const nameOf = ({ transactionalId, producerId, producerEpoch }: TransactionName): TransactionName => ({
  transactionalId,
  producerId,
  producerEpoch,
})

export function janitorContract(make: () => Promise<JanitorHarness>): void {
  const opened: TwoPhaseSink[] = []
  const started = async (harness: JanitorHarness): Promise<TwoPhaseSink> => {
    const sink = harness.sink()
    opened.push(sink)
    await sink.recover(null)
    return sink
  }
  afterEach(async () => {
    for (const sink of opened.splice(0)) await sink.close('abort').catch(() => undefined)
  })
  /** Listed as open. */
  const open = async ({ janitor, prefix }: JanitorHarness): Promise<TransactionName[]> =>
    (await janitor.list(prefix)).filter((t) => t.state === 'open').map(nameOf)

  test('a prepared transaction is listed under the name its handle has, until it has ended', async () => {
    const harness = await make()
    const sink = await started(harness)
    expect(await open(harness)).toEqual([])
    await write(sink, 'a')
    const { handles } = await sink.prepare(checkpoint(1))
    expect(await open(harness)).toEqual(handles.map(nameOf))
    const [listed] = await harness.janitor.list(harness.prefix)
    expect(listed!.partitions).toEqual(expect.arrayContaining(Object.keys(handles[0]!.firstOffsets)))
    expect(listed!.timeoutMs).toBe(60_000)
    expect(await harness.janitor.list(`${harness.prefix}nobody`)).toEqual([])
    await sink.commit(1)
    expect(await open(harness)).toEqual([])
  })

  test('commit by name: what it holds is seen, and the sink may commit it once more', async () => {
    const harness = await make()
    const sink = await started(harness)
    await write(sink, 'a', 'b')
    const { handles } = await sink.prepare(checkpoint(1))
    expect(await harness.janitor.end(handles[0]!, 'commit')).toBe('done')
    expect((await harness.committed()).sort()).toEqual(['a', 'b'])
    await sink.commit(1)
    expect((await harness.committed()).sort()).toEqual(['a', 'b'])
  })

  test('abort by name: nothing of it is seen, nothing is open, and its producer is fenced', async () => {
    const harness = await make()
    const sink = await started(harness)
    await write(sink, 'a')
    const { handles } = await sink.prepare(checkpoint(1))
    expect(await harness.janitor.end(handles[0]!, 'abort')).toBe('done')
    expect(await harness.committed()).toEqual([])
    expect(await open(harness)).toEqual([])
    await expect(sink.commit(1)).rejects.toMatchObject({ code: 'COMMIT_REFUSED' })
    expect(await harness.janitor.end(handles[0]!, 'commit')).toBe('refused')
  })

  test('B5: a late command under an old name does nothing to the transaction that has the id now', async () => {
    const harness = await make()
    const before = await started(harness)
    await write(before, 'old')
    const [old] = (await before.prepare(checkpoint(1))).handles
    const after = await started(harness)
    await write(after, 'new')
    const [now] = (await after.prepare(checkpoint(2))).handles
    expect(now!.transactionalId).toBe(old!.transactionalId)
    expect(await harness.janitor.end(old!, 'commit')).toBe('refused')
    expect(await open(harness)).toEqual([nameOf(now!)])
    await after.commit(1)
    expect(await harness.committed()).toEqual(['new'])
  })
}
