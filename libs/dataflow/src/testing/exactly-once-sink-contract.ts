/**
 * What every sink must do, whatever its medium: prepared output is invisible, published output is visible once, whoever
 * commits it and however often. What is special to logs (expiry, healing, pools) is in two-phase-sink-contract.ts.
 */
import { SeededRandom } from '@weir/model/testing'
import { afterEach, expect, test } from 'vitest'
import type { SinkAsides, SinkState, TwoPhaseSink } from '../ports.ts'
import { checkpoint, prepared, write, writeInOrder } from './sink-calls.ts'

export interface ExactlyOnceSinkHarness {
  /** A new instance for the same subtask: what a restarted attempt would make. Values are text. */
  sink(options: {
    asides: SinkAsides | null
    /** Text of a value; the contract lets it throw. */
    encodeValue: (value: unknown) => string
  }): TwoPhaseSink
  /** Values an outside reader sees. Those of one key in the order they were written. */
  committed(): Promise<string[]>
  /** What is left of output that is not committed: open transactions, hidden files, staged objects. */
  leftovers(): Promise<number>
  /** Whether the medium can tell: an instance that was replaced; output that is newer than the metadata. */
  readonly tells: { readonly fenced: boolean; readonly regression: boolean }
  /**
   * A replaced instance that still works may cost its successor the attempt, though never output (Kafka's transactions v1,
   * ARCHITECTURE): in the random schedule none dies.
   */
  readonly zombiesDisturb?: boolean
}

export function exactlyOnceSinkContract(make: () => Promise<ExactlyOnceSinkHarness>): void {
  const opened: TwoPhaseSink[] = []
  afterEach(async () => {
    for (const sink of opened.splice(0)) await sink.close('abort').catch(() => undefined)
  })
  const fresh = (
    harness: ExactlyOnceSinkHarness,
    options: Partial<Parameters<ExactlyOnceSinkHarness['sink']>[0]> = {},
  ): TwoPhaseSink => {
    const sink = harness.sink({ asides: null, encodeValue: String, ...options })
    opened.push(sink)
    return sink
  }
  const started = async (
    harness: ExactlyOnceSinkHarness,
    restored: SinkState | null = null,
    options: Partial<Parameters<ExactlyOnceSinkHarness['sink']>[0]> = {},
  ): Promise<TwoPhaseSink> => {
    const sink = fresh(harness, options)
    await sink.recover(restored)
    return sink
  }
  const seen = async (harness: ExactlyOnceSinkHarness): Promise<string[]> => (await harness.committed()).sort()

  test('nothing is seen before the commit, everything once after it', async () => {
    const harness = await make()
    const sink = await started(harness)
    await write(sink, 'a', 'b')
    const state = await prepared(sink, 1)
    expect(state).toMatchObject({ sequence: 1, handles: [{ sequence: 1, records: 2 }] })
    expect(await harness.committed()).toEqual([])
    await sink.commit(1)
    expect(await seen(harness)).toEqual(['a', 'b'])
    expect(await prepared(sink, 2)).toEqual({ sequence: 1, handles: [] })
  })

  test('a transaction without records makes no handle', async () => {
    const harness = await make()
    const sink = await started(harness)
    expect(await prepared(sink, 1)).toEqual({ sequence: 0, handles: [] })
    expect(await harness.leftovers()).toBe(0)
  })

  test('what is written behind the barrier is in the next transaction', async () => {
    const harness = await make()
    const sink = await started(harness)
    await write(sink, 'one')
    const first = sink.prepare(checkpoint(1))
    await write(sink, 'two')
    await first
    await sink.commit(1)
    expect(await harness.committed()).toEqual(['one'])
    expect(await prepared(sink, 2)).toMatchObject({ sequence: 2, handles: [{ sequence: 2 }] })
    await sink.commit(2)
    expect(await seen(harness)).toEqual(['one', 'two'])
  })

  test('the handle of a given-up epoch stays, and is committed with the next (A2)', async () => {
    const harness = await make()
    const sink = await started(harness)
    await write(sink, 'given up')
    await prepared(sink, 1)
    await write(sink, 'next')
    expect((await prepared(sink, 2)).handles.map((h) => h.sequence)).toEqual([1, 2])
    await sink.commit(2)
    expect(await seen(harness)).toEqual(['given up', 'next'])
  })

  test('what was not prepared is not committed (C6)', async () => {
    const harness = await make()
    const sink = await started(harness)
    await write(sink, 'a')
    await expect(sink.commit(1)).rejects.toMatchObject({ code: 'SEQUENCE_NOT_PREPARED', kind: 'restart' })
    expect(await harness.committed()).toEqual([])
  })

  test('a commit may be repeated, and one for a prefix leaves the rest prepared', async () => {
    const harness = await make()
    const sink = await started(harness)
    for (const n of [1, 2, 3]) {
      await writeInOrder(sink, `n${n}`)
      await prepared(sink, n)
    }
    for (let i = 0; i < 2; i++) await sink.commit(2)
    expect(await harness.committed()).toEqual(['n1', 'n2'])
    expect(sink.pending).toEqual({ open: false, prepared: 1 })
    await sink.commit(3)
    expect(await harness.committed()).toEqual(['n1', 'n2', 'n3'])
    expect(sink.pending).toEqual({ open: false, prepared: 0 })
  })

  test('another instance commits the stored handles; doing it again changes nothing', async () => {
    const harness = await make()
    const sink = await started(harness)
    await write(sink, 'a')
    await prepared(sink, 1)
    await write(sink, 'b')
    const state = await prepared(sink, 2)
    await write(sink, 'never')
    for (let i = 0; i < 3; i++) {
      const proofs = await fresh(harness).recover(state)
      expect(proofs.map((p) => [p.sequence, p.outcome])).toEqual([
        [1, 'committed'],
        [2, 'committed'],
      ])
      expect(await seen(harness)).toEqual(['a', 'b'])
    }
  })

  test('committed before the news of it was stored: the next instance finds that out', async () => {
    const harness = await make()
    const sink = await started(harness)
    await write(sink, 'a')
    await prepared(sink, 1)
    await write(sink, 'b')
    const state = await prepared(sink, 2)
    await sink.commit(1)
    await sink.close('leave')
    const next = await started(harness, state)
    expect(await seen(harness)).toEqual(['a', 'b'])
    await write(next, 'c')
    await prepared(next, 3)
    await next.commit(3)
    expect(await seen(harness)).toEqual(['a', 'b', 'c'])
  })

  test('an instance that was replaced adds nothing any more', async () => {
    const harness = await make()
    const zombie = await started(harness)
    await write(zombie, 'published')
    const state = await prepared(zombie, 1)
    await write(zombie, 'after')
    const next = await started(harness, state)
    if (harness.tells.fenced) {
      const goesOn = async (): Promise<void> => {
        await write(zombie, 'more')
        await zombie.prepare(checkpoint(2))
        await zombie.commit(2)
      }
      await expect(goesOn()).rejects.toThrow()
    } else await zombie.commit(1) // the command it may have received: for what is published
    expect(await harness.committed()).toEqual(['published'])
    await write(next, 'goes on')
    await prepared(next, 2)
    await next.commit(2)
    expect(await seen(harness)).toEqual(['goes on', 'published'])
  })

  test('a replaced instance is refused what was not published', async () => {
    const harness = await make()
    if (!harness.tells.fenced) return
    const zombie = await started(harness)
    await write(zombie, 'unpublished')
    await prepared(zombie, 1)
    await started(harness, null)
    await expect(zombie.commit(1)).rejects.toMatchObject({ code: 'COMMIT_REFUSED', kind: 'restart' })
    expect(await harness.committed()).toEqual([])
  })

  test('older metadata than output is found out (EPOCH_REGRESSION)', async () => {
    const harness = await make()
    if (!harness.tells.regression) return
    const sink = await started(harness)
    await write(sink, 'a')
    const older = await prepared(sink, 1)
    await sink.commit(1)
    await write(sink, 'b')
    await prepared(sink, 2)
    await sink.commit(2)
    for (const restored of [older, null]) {
      const refused = { code: 'EPOCH_REGRESSION', kind: 'invalid' }
      await expect(fresh(harness).recover(restored)).rejects.toMatchObject(refused)
    }
    expect(await seen(harness)).toEqual(['a', 'b'])
  })

  test('abort leaves nothing behind; leave touches nothing', async () => {
    const harness = await make()
    const left = await started(harness)
    await write(left, 'kept')
    const state = await prepared(left, 1)
    await left.close('leave')
    expect(await harness.leftovers()).toBe(1)
    const other = await started(harness, state)
    expect(await harness.committed()).toEqual(['kept'])
    await write(other, 'dropped')
    await prepared(other, 2)
    await write(other, 'not even prepared')
    await other.close('abort')
    expect(await harness.leftovers()).toBe(0)
    expect(await harness.committed()).toEqual(['kept'])
  })

  test('a record that cannot be encoded is refused; its neighbours are written', async () => {
    const harness = await make()
    const refused: [unknown, string][] = []
    const encodeValue = (value: unknown): string => {
      if (String(value).startsWith('bad')) throw new TypeError('cannot be written')
      return String(value)
    }
    const asides: SinkAsides = {
      topics: [],
      refuse: ({ values }, i, error) => void refused.push([values[i], error.code]),
      known: null,
      audit: null,
    }
    const sink = await started(harness, null, { asides, encodeValue })
    await write(sink, 'bad')
    expect(await prepared(sink, 1)).toEqual({ sequence: 0, handles: [] })
    await writeInOrder(sink, 'a', 'bad too', 'b')
    expect(await prepared(sink, 2)).toMatchObject({ handles: [{ records: 2 }] })
    await sink.commit(1)
    expect(await harness.committed()).toEqual(['a', 'b'])
    expect(refused).toEqual([
      ['bad', 'ENCODE_FAILED'],
      ['bad too', 'ENCODE_FAILED'],
    ])
  })

  test('without dead letters a record that cannot be encoded ends the attempt', async () => {
    const harness = await make()
    const encodeValue = (): string => {
      throw new TypeError('cannot be written')
    }
    const sink = await started(harness, null, { encodeValue })
    await expect((async () => write(sink, 'bad'))()).rejects.toThrow('cannot be written')
  })

  test('thousands of records are in one transaction, in order', async () => {
    const harness = await make()
    const sink = await started(harness)
    const values = Array.from({ length: 5_000 }, (_, i) => `record ${i}`)
    for (let i = 0; i < values.length; i += 500) await writeInOrder(sink, ...values.slice(i, i + 500))
    const state = await prepared(sink, 1)
    expect(state.handles[0]!.records).toBe(values.length)
    await started(harness, state)
    expect(await harness.committed()).toEqual(values)
  })

  /** Epochs are published or given up, attempts die at any point; the model counts what was published. */
  test.each([1, 2, 3, 4])('whatever happens, what is published is there once and in order (seed %i)', async (seed) => {
    const harness = await make()
    const random = new SeededRandom(seed * 7_919)
    const one = (of: number): boolean => random.next() * of < 1
    const model: string[] = []
    let published: SinkState | null = null
    let sink = await started(harness)
    let unpublished: string[] = []
    for (let n = 1, record = 0; n <= 12; n++) {
      const values = Array.from({ length: Math.floor(random.next() * 4) }, () => `r${record++}`)
      if (values.length > 0) await writeInOrder(sink, ...values)
      unpublished.push(...values)
      const state = await prepared(sink, n)
      const dies = one(3) && !harness.zombiesDisturb
      if (one(4)) {
        if (!dies) continue // given up, and its output travels on
      } else {
        published = state
        model.push(...unpublished)
        unpublished = []
        if (!dies || one(2)) await sink.commit(state.sequence)
      }
      if (!dies) continue
      if (one(2)) await sink.close('leave')
      unpublished = [] // the sources go back
      sink = await started(harness, published)
      expect(await harness.committed()).toEqual(model)
    }
    await started(harness, published)
    expect(await harness.committed()).toEqual(model)
  })
}
