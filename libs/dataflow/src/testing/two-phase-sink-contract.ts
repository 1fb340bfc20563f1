/**
 * What a sink of a transactional log must do beyond `exactlyOnceSinkContract`, which is run with it: transactions that
 * expire are healed, ids come from a pool, records for other topics travel along. Run by the embedded log and by Kafka.
 */
import type { AsideRecord } from '@weir/model'
import { afterEach, expect, test } from 'vitest'
import type { SinkAsides, SinkAudit, SinkState, StagedOutput, TwoPhaseSink } from '../ports.ts'
import { exactlyOnceSinkContract } from './exactly-once-sink-contract.ts'
import { MemoryStagedOutput } from './memory-staged-output.ts'
import { checkpoint, prepared, throughJson, write, writeInOrder } from './sink-calls.ts'

export interface SinkHarness {
  /** A new instance for the same subtask: what a restarted attempt would make. Keys and values are text. */
  sink(options: {
    poolSize: number
    transactionTimeoutMs: number
    staged: StagedOutput | null
    asides: SinkAsides | null
    /** Text of a value; the contract lets it throw. */
    encodeValue: (value: unknown) => string
  }): TwoPhaseSink
  /** Values an outside reader with read_committed sees, in order. */
  committed(): Promise<string[]>
  /** A topic for asides; one that is not there. */
  readonly aside: string
  readonly missing: string
  /** What such a reader sees there: `key=value name=header,…`, in the order of one partition. */
  committedAsides(): Promise<string[]>
  /** Transactions of this subtask that are open at the server. */
  openTransactions(): Promise<number>
  /** Resolves when transactions with the given timeout are surely expired. */
  expire(timeoutMs: number): Promise<void>
  /** See `ExactlyOnceSinkHarness`. */
  readonly zombiesDisturb?: boolean
}

export function twoPhaseSinkContract(make: () => Promise<SinkHarness>): void {
  exactlyOnceSinkContract(async () => {
    const harness = await make()
    const defaults = { poolSize: 12, transactionTimeoutMs: 60_000, staged: null }
    return {
      sink: (options) => harness.sink({ ...defaults, ...options }),
      committed: () => harness.committed(),
      leftovers: () => harness.openTransactions(),
      tells: { fenced: true, regression: true },
      zombiesDisturb: harness.zombiesDisturb ?? false,
    }
  })

  const opened: TwoPhaseSink[] = []
  afterEach(async () => {
    for (const sink of opened.splice(0)) await sink.close('abort').catch(() => undefined)
  })
  const fresh = (harness: SinkHarness, options: Partial<Parameters<SinkHarness['sink']>[0]> = {}): TwoPhaseSink => {
    const defaults = { poolSize: 3, transactionTimeoutMs: 60_000, staged: null, asides: null, encodeValue: String }
    const sink = harness.sink({ ...defaults, ...options })
    opened.push(sink)
    return sink
  }
  const started = async (
    harness: SinkHarness,
    restored: SinkState | null = null,
    poolSize = 3,
  ): Promise<TwoPhaseSink> => {
    const sink = fresh(harness, { poolSize })
    await sink.recover(restored)
    return sink
  }
  test('behind a commit, a recovery and whoever they fence no transaction is open', async () => {
    const harness = await make()
    /** Readers see the end of a transaction when its server is done with it. */
    const settledWith = async (...values: string[]): Promise<void> => {
      expect((await harness.committed()).sort()).toEqual(values)
      expect(await harness.openTransactions()).toBe(0)
    }
    const zombie = await started(harness)
    await write(zombie, 'a')
    await prepared(zombie, 1)
    await zombie.commit(1)
    await prepared(zombie, 2)
    await settledWith('a')
    await write(zombie, 'b')
    const state = await prepared(zombie, 3)
    await write(zombie, 'never')
    for (let i = 0; i < 2; i++) {
      await started(harness, state)
      await settledWith('a', 'b')
    }
    const goesOn = async (): Promise<void> => {
      await write(zombie, 'more')
      await zombie.prepare(checkpoint(4))
      await zombie.commit(3)
    }
    await expect(goesOn()).rejects.toThrow()
    await settledWith('a', 'b')
  })

  /** Two published and never committed, both expired at the server. */
  const expired = async (harness: SinkHarness, staged: StagedOutput | null): Promise<SinkState> => {
    const sink = fresh(harness, { transactionTimeoutMs: 1_000, staged })
    await sink.recover(null)
    await writeInOrder(sink, 'zero')
    await prepared(sink, 1)
    await sink.commit(1)
    await writeInOrder(sink, 'one', 'two')
    await prepared(sink, 2)
    await writeInOrder(sink, 'three')
    const state = await prepared(sink, 3)
    await harness.expire(1_000)
    await sink.close('leave')
    return state
  }

  test('expired handles are healed: once and in order, also when recovered again, and output goes on behind them', async () => {
    const harness = await make()
    const staged = new MemoryStagedOutput()
    const state = await expired(harness, staged)
    expect(await harness.committed()).toEqual(['zero'])
    for (const by of ['heal', 'healed-before']) {
      const proofs = await fresh(harness, { staged }).recover(state)
      expect(proofs).toEqual([2, 3].map((sequence) => ({ sequence, outcome: 'committed', by })))
      expect(await harness.committed()).toEqual(['zero', 'one', 'two', 'three'])
    }
    const sink = fresh(harness, { staged })
    await sink.recover(state)
    await writeInOrder(sink, 'four')
    const next = await prepared(sink, 4)
    expect(next.handles).toMatchObject([{ sequence: 4 }])
    await sink.commit(4)
    expect(await harness.committed()).toEqual(['zero', 'one', 'two', 'three', 'four'])
    expect(await harness.openTransactions()).toBe(0)
  })

  test('a recovery that dies while healing leaves nothing half done: the next one heals all', async () => {
    const harness = await make()
    const staged = new MemoryStagedOutput()
    const state = await expired(harness, staged)
    const chunks = [...staged.stored.values()].slice(-2).flat().length
    for (let readable = 0; readable < chunks; readable++) {
      staged.readable = readable
      const dies = fresh(harness, { staged })
      await expect(dies.recover(state)).rejects.toThrow('the process dies here')
      expect((await harness.committed()).length).toBeLessThan(4)
    }
    staged.readable = Infinity
    await fresh(harness, { staged }).recover(state)
    expect(await harness.committed()).toEqual(['zero', 'one', 'two', 'three'])
    expect(await harness.openTransactions()).toBe(0)
  })

  test('staged output is kept until the epoch is final, and then deleted (A16)', async () => {
    const harness = await make()
    const staged = new MemoryStagedOutput()
    const sink = fresh(harness, { staged })
    await sink.recover(null)
    for (const n of [1, 2, 3]) {
      await write(sink, String(n))
      const state = await prepared(sink, n)
      expect(staged.stored.has(state.handles[0]!.staged!.parts[0]!.key)).toBe(true)
      await sink.commit(n)
      // Committed here and not known to be so everywhere: kept until the next epoch's command.
      await expect.poll(() => [...staged.stored.keys()]).toEqual([`staged/${n - 1}`])
    }
  })

  test('without staged output an expired handle stops the job, with the facts (A14)', async () => {
    const harness = await make()
    const sink = fresh(harness, { transactionTimeoutMs: 1_000 })
    await sink.recover(null)
    await write(sink, 'a')
    const state = await prepared(sink, 1)
    expect(state.handles[0]).not.toHaveProperty('staged')
    await harness.expire(1_000)
    await expect(fresh(harness).recover(state)).rejects.toMatchObject({
      code: 'TRANSACTION_LOST',
      kind: 'invalid',
      facts: { sequence: 1, records: 1 },
    })
    expect(await harness.committed()).toEqual([])
  })

  test('an exhausted pool waits inside write and goes on after a commit (B3)', async () => {
    const harness = await make()
    const sink = await started(harness, null, 2)
    await write(sink, 'a')
    await prepared(sink, 1)
    await write(sink, 'b')
    await prepared(sink, 2)
    const waiting = write(sink, 'c')
    expect(waiting).toBeInstanceOf(Promise)
    expect(sink.pending).toEqual({ open: false, prepared: 2 })
    await sink.commit(1)
    await waiting
    await prepared(sink, 3)
    await sink.commit(3)
    expect((await harness.committed()).sort()).toEqual(['a', 'b', 'c'])
  })

  // ---- records for other topics -------------------------------------------------------------------------------------

  const refusing = (harness: SinkHarness, refused: [unknown, string][] = []): SinkAsides => ({
    topics: [harness.aside],
    refuse: ({ values }, i, error) => void refused.push([values[i], error.code]),
    known: null,
    audit: null,
  })
  /** All of one partition: their order shows. */
  const dead = (topic: string, ...names: string[]): AsideRecord[] =>
    names.map((name) => ({
      topic,
      partition: 3,
      key: Buffer.from('k'),
      value: name === 'null' ? null : Buffer.from(name),
      timestamp: 1_750_000_000_000,
      headers: [
        ['h', Buffer.from(`of ${name}`)],
        ['none', null],
      ],
    }))
  const seen = (...names: string[]): string[] => names.map((name) => `k=${name} h=of ${name},none=null`)

  test('asides are seen with the outputs of their transaction, and alone they are one', async () => {
    const harness = await make()
    const sink = fresh(harness, { asides: refusing(harness) })
    await sink.recover(null)
    await write(sink, 'a')
    await sink.writeAside(dead(harness.aside, 'one', 'null'))
    await write(sink, 'b')
    const first = sink.prepare(checkpoint(1))
    await sink.writeAside(dead(harness.aside, 'two'))
    expect(throughJson(await first)).toMatchObject({ handles: [{ sequence: 1, records: 4 }] })
    expect(await harness.committedAsides()).toEqual([])
    await sink.commit(1)
    expect((await harness.committed()).sort()).toEqual(['a', 'b'])
    expect(await harness.committedAsides()).toEqual(seen('one', 'null'))
    expect(await prepared(sink, 2)).toMatchObject({ handles: [{ sequence: 2, records: 1 }] })
    await sink.commit(2)
    expect(await harness.committedAsides()).toEqual(seen('one', 'null', 'two'))
  })

  test('another instance commits the stored asides; a fenced one adds none', async () => {
    const harness = await make()
    const asides = refusing(harness)
    const zombie = fresh(harness, { asides })
    await zombie.recover(null)
    await zombie.writeAside(dead(harness.aside, 'published'))
    const state = await prepared(zombie, 1)
    await zombie.writeAside(dead(harness.aside, 'never'))
    await fresh(harness, { asides }).recover(state)
    await expect(zombie.prepare(checkpoint(2))).rejects.toThrow()
    expect(await harness.committedAsides()).toEqual(seen('published'))
    expect(await harness.openTransactions()).toBe(0)
  })

  test('lost asides are healed with the outputs, in order and with their headers (A16)', async () => {
    const harness = await make()
    const options = { staged: new MemoryStagedOutput(), asides: refusing(harness) }
    const sink = fresh(harness, { transactionTimeoutMs: 1_000, ...options })
    await sink.recover(null)
    await sink.writeAside(dead(harness.aside, 'one', 'null'))
    await write(sink, 'a')
    await prepared(sink, 1)
    await sink.writeAside(dead(harness.aside, 'two'))
    const state = await prepared(sink, 2)
    await harness.expire(1_000)
    await sink.close('leave')
    for (let i = 0; i < 2; i++) {
      await fresh(harness, options).recover(state)
      expect(await harness.committed()).toEqual(['a'])
      expect(await harness.committedAsides()).toEqual(seen('one', 'null', 'two'))
    }
  })

  test('lost asides without a copy stop the job, though no output is missing', async () => {
    const harness = await make()
    const asides = refusing(harness)
    const sink = fresh(harness, { transactionTimeoutMs: 1_000, asides })
    await sink.recover(null)
    await sink.writeAside(dead(harness.aside, 'one'))
    const state = await prepared(sink, 1)
    await harness.expire(1_000)
    await expect(fresh(harness, { asides }).recover(state)).rejects.toMatchObject({ code: 'TRANSACTION_LOST' })
  })

  test('an exhausted pool waits inside writeAside too', async () => {
    const harness = await make()
    const sink = fresh(harness, { poolSize: 2, asides: refusing(harness) })
    await sink.recover(null)
    for (const n of [1, 2]) {
      await write(sink, String(n))
      await prepared(sink, n)
    }
    const waiting = sink.writeAside(dead(harness.aside, 'one'))
    expect(waiting).toBeInstanceOf(Promise)
    await sink.commit(1)
    await waiting
    await prepared(sink, 3)
    await sink.commit(3)
    expect(await harness.committedAsides()).toEqual(seen('one'))
  })

  test('a topic for asides that is not there is found before anything is written', async () => {
    const harness = await make()
    const sink = fresh(harness, { asides: { ...refusing(harness), topics: [harness.missing] } })
    await expect(sink.recover(null)).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC', kind: 'invalid' })
  })

  test('audited: every record is told of in the order of its partition, and a receipt ends every epoch', async () => {
    const harness = await make()
    const told: string[] = []
    const audit: SinkAudit = {
      add: (topic, partition, { value }) =>
        void told.push(`${topic === harness.aside ? 'aside' : 'out'} ${partition} ${Buffer.from(value!).toString()}`),
      receipt: ({ epoch }, sequence) => dead(harness.aside, `epoch ${epoch} sequence ${sequence}`)[0]!,
    }
    const options = { poolSize: 2, asides: { ...refusing(harness), audit } }
    const sink = fresh(harness, options)
    await sink.recover(null)
    await writeInOrder(sink, 'a', 'b')
    await sink.writeAside(dead(harness.aside, 'one'))
    const first = sink.prepare(checkpoint(1))
    await writeInOrder(sink, 'c')
    expect(throughJson(await first)).toMatchObject({ sequence: 1, handles: [{ records: 4 }] })
    expect(await prepared(sink, 2)).toMatchObject({ sequence: 2, handles: [{}, { records: 2 }] })
    // The pool is exhausted and there is nothing to write: the next receipt speaks for this epoch too.
    expect(await prepared(sink, 3)).toMatchObject({ sequence: 2 })
    await sink.commit(2)
    const state = await prepared(sink, 4)
    expect(state).toMatchObject({ sequence: 3, handles: [{ records: 1 }] })
    expect(await harness.committed()).toEqual(['a', 'b', 'c'])
    const [, partition] = told[0]!.split(' ')
    expect(told).toEqual(['a', 'b'].map((v) => `out ${partition} ${v}`).concat('aside 1 one', `out ${partition} c`))
    const next = fresh(harness, options)
    await next.recover(state)
    await prepared(next, 5)
    await next.commit(4)
    expect((await harness.committedAsides()).map((line) => /=(.*) h=/.exec(line)![1])).toEqual([
      'one',
      ...['epoch 1 sequence 1', 'epoch 2 sequence 2', 'epoch 4 sequence 3', 'epoch 5 sequence 4'],
    ])
  })
}
