/**
 * Wrong user code, operator by operator: the record it goes wrong with is named and has no effect, or goes where dead letters go;
 * the records around it have theirs, exactly as if it had not been there. A new operator adds a line to OPERATORS.
 */
import {
  connectOf,
  deduplicating,
  everyCount,
  intervalJoin,
  keyedProcessOf,
  purging,
  type ConnectNode,
  windowJoin,
  windowProcessOf,
  withBroadcastOf,
  type GraphNode,
  type LogicalGraph,
  type Out,
  type ResumableOperator,
  type SourceNode,
  type WindowNode,
  type WindowSpec,
} from '@weir/dataflow'
import { operatorUid, type WeirError } from '@weir/model'
import { job, json, kafka } from '@weir/sdk'
import { afterEach, describe, expect, test } from 'vitest'
import { World, chainOf, node, records, stopAll } from './fixture.ts'
import { MemoryLogSource } from './testing/index.ts'

afterEach(stopAll)

const uid = operatorUid('op')
/** User code as it can be written in spite of its types. */
type Wrong = (...args: never[]) => unknown
const any = (f: Wrong): never => f as never

interface Case {
  readonly nodes: (f: Wrong) => readonly GraphNode[]
  /** Where it is no chain. */
  readonly edges?: LogicalGraph['edges']
  /** What it does with a good value (its last argument but the context). */
  readonly good: Wrong
  /** Its first argument is an accumulator. */
  readonly folds?: boolean
  /** Of its operator; absent: `op`. */
  readonly failsAt?: string
  /** In the stage of the source. Elsewhere batches do not carry where records were read, unless somebody asks: dead letters do. */
  readonly isAtSource?: boolean
  /** It runs when a timer does, so the letter is of the timer: of no record. */
  readonly isFired?: boolean
  /** The record has effects beside this one. */
  readonly isElsewhere?: boolean
}
const source = node.source(0)
const byValue: GraphNode = { kind: 'keyBy', uid: operatorUid('by-value'), key: String }
const byFirst = node.keyBy((v) => String(v)[0]!)
const resumable = (execute: Wrong): GraphNode =>
  node.resumable('op', (): ResumableOperator<string, string> => {
    return {
      prepare: () => {},
      execute: any(execute),
      snapshotState: () => [],
      restoreState: () => {},
    }
  })
const windowed = (window: WindowSpec, more: Partial<WindowNode> = {}): Case => ({
  nodes: (f) => {
    const merge = (a: unknown, b: unknown): unknown => Number(a) + Number(b)
    const aggregate = { initial: 0, add: any(f), merge }
    return [source, byFirst, { kind: 'window', uid, window, aggregate, aggregateName: 'op', ...more }, node.sink('out')]
  },
  good: (n: never) => Number(n) + 1,
  folds: true,
})
/** What the builder makes of it, with claims in state. */
const idempotent = (options: (f: never) => { bizKey: never }): Case => {
  const graph = (f: Wrong): LogicalGraph =>
    job('claims', (flow) => {
      const once = flow.from(kafka.topic('in', { value: json<string>() })).idempotent('op', options(any(f)))
      once.to(kafka.sink('out'), 'out')
    }).graph
  const nodes = (f: Wrong): readonly GraphNode[] =>
    graph(f).nodes.map((of) => (of.kind === 'source' ? source : of.kind === 'sink' ? node.sink('out') : of))
  return { nodes, edges: graph(String).edges, good: (v) => v }
}
const TWO_INPUTS: Case['edges'] = [
  [0, 1],
  [0, 2],
  [1, 3],
  [2, 3],
  [3, 4],
]
/** Every value has a key of its own, and meets itself. */
const joining = (join: (f: never) => Omit<ConnectNode, 'uid'>): Case => ({
  nodes: (f) => {
    const [left, right] = ['left', 'right'].map((of): GraphNode => {
      return { kind: 'keyBy', uid: operatorUid(of), key: String }
    })
    return [source, left!, right!, { uid, ...join(any((value: never) => f(value))) }, node.sink('out')]
  },
  edges: TWO_INPUTS,
  good: (v) => v,
})
/** `f` over a stream, or over what is broadcast beside it. */
const broadcast = (onRecord: (f: Wrong) => Wrong, onBroadcast: (f: Wrong) => Wrong, good: Wrong): Case => ({
  nodes: (f) => [
    source,
    { kind: 'broadcast', uid: operatorUid('all') },
    {
      uid,
      ...withBroadcastOf({
        broadcast: { seen: { kind: 'broadcast' } },
        onRecord: any(onRecord(f)),
        onBroadcast: any(onBroadcast(f)),
      }),
    },
    node.sink('out'),
  ],
  edges: [
    [0, 1],
    [0, 2],
    [1, 2],
    [2, 3],
  ],
  good,
})
/** Calls it, and puts the value out. */
const emitting =
  (f: Wrong) =>
  (_context: never, value: never, out: { emit(value: unknown): void }): unknown => {
    const got = f(value)
    out.emit(value)
    return got
  }
const OPERATORS: Readonly<Record<string, Case>> = {
  timestamp: {
    nodes: (f) => [{ ...source, uid, timestamp: any(f) } satisfies SourceNode, node.sink('out')],
    isAtSource: true,
    good: () => 5,
  },
  filter: {
    nodes: (f) => [source, { kind: 'filter', uid, test: any(f) }, node.sink('out')],
    isAtSource: true,
    good: () => true,
  },
  map: {
    nodes: (f) => [source, { kind: 'map', uid, map: any(f) }, node.sink('out')],
    isAtSource: true,
    good: (v) => v,
  },
  flatMap: {
    nodes: (f) => [source, { kind: 'flatMap', uid, flatMap: any(f) }, node.sink('out')],
    isAtSource: true,
    good: (v) => [v],
  },
  keyBy: {
    nodes: (f) => [source, { kind: 'keyBy', uid, key: any(f) }, node.concat('sum'), node.sink('out')],
    isAtSource: true,
    good: (v) => v,
  },
  keyedBySource: {
    nodes: (f) => [source, { kind: 'keyedBySource', uid, key: any(f) }, node.concat('sum'), node.sink('out')],
    isAtSource: true,
    good: (v) => v,
  },
  reduce: {
    nodes: (f) => [source, byFirst, { kind: 'reduce', uid, initial: '', reduce: any(f) }, node.sink('out')],
    good: (_a: never, v: never) => v,
    folds: true,
  },
  window: windowed({ type: 'tumbling', sizeMs: 10 }),
  'sliding window': windowed({ type: 'sliding', sizeMs: 10, slideMs: 5 }),
  'session window': windowed({ type: 'session', gapMs: 10 }),
  'count window': windowed({ type: 'global' }, { trigger: purging(everyCount(2)) }),
  'window with lateness': windowed({ type: 'tumbling', sizeMs: 10 }, { allowedLatenessMs: 10 }),
  deduplicate: {
    nodes: (f) => [
      source,
      { kind: 'keyBy', uid, key: any(f) },
      { uid: operatorUid('first'), ...keyedProcessOf(deduplicating(1_000)) },
      node.sink('out'),
    ],
    isAtSource: true,
    good: (v) => v,
  },
  'interval join': joining((f) => intervalJoin({ lowerMs: 0, upperMs: 0 }, f)),
  'window join': {
    ...joining((f) => windowJoin({ window: { sizeMs: 10, slideMs: 10 }, keeps: 'inner' }, f)),
    isFired: true,
  },
  'beside a broadcast': broadcast(
    emitting,
    () => () => undefined,
    () => undefined,
  ),
  broadcast: {
    ...broadcast(
      () => (_context: never, value: never, out: { emit(value: unknown): void }) => out.emit(value),
      (f) => (_context: never, value: never) => f(value),
      () => undefined,
    ),
    isElsewhere: true,
  },
  process: {
    nodes: (f) => {
      const onRecord = (_context: never, value: never, out: { emit(value: unknown): void }): unknown => {
        const got = f(value)
        out.emit(value)
        return got
      }
      return [source, byFirst, { uid, ...keyedProcessOf({ onRecord: any(onRecord as Wrong) }) }, node.sink('out')]
    },
    good: () => undefined,
  },
  connect: {
    nodes: (f) => {
      const onRight = (_context: never, value: never, out: { emit(value: unknown): void }): unknown => {
        const got = f(value)
        out.emit(value)
        return got
      }
      const connected = connectOf({ onLeft: () => {}, onRight: any(onRight as Wrong) })
      const right = { ...byFirst, uid: operatorUid('right') }
      return [source, byFirst, right, { uid, ...connected }, node.sink('out')]
    },
    edges: TWO_INPUTS,
    good: () => undefined,
  },
  resumable: {
    nodes: (f) => {
      const execute = (value: never, { emit }: { emit(value: unknown): void }): unknown => {
        const got = f(value)
        emit(value)
        return got
      }
      return [source, resumable(execute as Wrong), node.sink('out')]
    },
    isAtSource: true,
    good: () => undefined,
  },
  'running result': {
    nodes: (f) => {
      return [
        source,
        byFirst,
        { kind: 'reduce', uid, initial: '', reduce: (_, v) => v, result: any(f) },
        node.sink('out'),
      ]
    },
    good: (v) => v,
  },
  // Every value has a key of its own: what fires is of one record.
  'result of a window': {
    nodes: (f) => {
      const aggregate = { initial: '', add: (_: unknown, v: unknown) => v, result: any(f) }
      const window = { type: 'tumbling', sizeMs: 10 } as const
      return [source, byValue, { kind: 'window', uid, window, aggregate, aggregateName: 'op' }, node.sink('out')]
    },
    good: (v) => v,
    isFired: true,
  },
  'whole window': {
    nodes: (f) => {
      const whole = windowProcessOf(
        { type: 'tumbling', sizeMs: 10 },
        any(([value]: never[], _: never, out: { emit(value: unknown): void }): unknown => {
          const got = f(value!)
          out.emit(value)
          return got
        }),
      )
      return [source, byValue, { uid, ...whole }, node.sink('out')]
    },
    good: () => undefined,
    isFired: true,
  },
  timer: {
    nodes: (f) => {
      const process = keyedProcessOf({
        state: { value: { kind: 'value', ttl: null, initial: '' } },
        timers: { end: 'event' },
        onRecord({ state, timers, timestamp }, value: string) {
          state.value.set(value)
          timers.end.set(timestamp + 1)
        },
        onTimer({ state }, _timer, out: Out<string>) {
          const value = String(state.value.get())
          const got = f(value as never)
          out.emit(value)
          return got as never
        },
      })
      return [source, byValue, { uid, ...process }, node.sink('out')]
    },
    good: () => undefined,
    isFired: true,
  },
  'key of what is idempotent': {
    ...idempotent((f) => ({ bizKey: f })),
    failsAt: 'op.key',
    isAtSource: true,
  },
  'event type of what is idempotent': idempotent((f) => ({ bizKey: any(String), eventType: f })),
  'fingerprint of what is idempotent': idempotent((f) => ({ bizKey: any(String), fingerprint: f })),
  asyncMap: {
    nodes: (f) => [
      source,
      {
        ...{ kind: 'asyncMap', uid, call: any(f), mode: 'ordered', capacity: 10, timeoutMs: 1_000, retries: 0 },
        ...{ backoffMs: 0, backoffMsMax: 0, retryIf: null, onFailure: 'dead-letter' },
      },
      node.sink('out'),
    ],
    isAtSource: true,
    good: (v) => v,
  },
}
const FOLDS = Object.keys(OPERATORS).filter((name) => OPERATORS[name]!.folds)
const SYNC = Object.keys(OPERATORS).filter((name) => name !== 'asyncMap')

interface Deed {
  readonly name: string
  readonly does: Wrong
  readonly of: readonly string[]
  readonly code: string
  /** It is the program that is wrong, not the record: the job stops, with dead letters too. */
  readonly stops?: boolean
}
const DEEDS: readonly Deed[] = [
  {
    name: 'throws',
    does: () => {
      throw new RangeError('no such thing')
    },
    of: Object.keys(OPERATORS),
    code: 'OPERATOR_FAILED',
  },
  {
    name: 'throws what is no error',
    does: () => {
      throw 'text'
    },
    of: Object.keys(OPERATORS),
    code: 'OPERATOR_FAILED',
  },
  {
    name: 'returns a promise',
    does: async () => 1,
    of: SYNC.filter((name) => name !== 'timestamp'),
    code: 'OPERATOR_RETURNED_PROMISE',
    stops: true,
  },
  {
    name: 'returns a promise that rejects',
    does: () => Promise.reject(new Error('later')),
    of: SYNC.filter((name) => name !== 'timestamp'),
    code: 'OPERATOR_RETURNED_PROMISE',
    stops: true,
  },
  ...[async () => 5, () => Promise.reject(new Error('later'))].map((does): Deed => {
    return { name: `returns a promise, ${does.name || 'rejected'}`, does, of: ['timestamp'], code: 'TIMESTAMP_INVALID' }
  }),
  { name: 'returns nothing', does: () => undefined, of: ['flatMap', ...FOLDS], code: 'OPERATOR_FAILED' },
  { name: 'returns a string', does: () => 'ab', of: ['flatMap'], code: 'OPERATOR_FAILED' },
  {
    name: 'throws half way',
    does: function* () {
      yield 1
      throw new RangeError('half way')
    },
    of: ['flatMap'],
    code: 'OPERATOR_FAILED',
  },
  {
    name: 'never ends',
    does: function* () {
      for (;;) yield 1
    },
    of: ['flatMap'],
    code: 'OUTPUTS_TOO_MANY',
  },
  ...[undefined, null, Number.NaN, { id: 1 }, true, 1n, Symbol('s')].map((key): Deed => {
    return {
      name: `returns ${String(key)} for a key`,
      does: () => key,
      of: ['keyBy', 'keyedBySource', 'deduplicate'],
      code: 'KEY_INVALID',
    }
  }),
  ...[undefined, null, Number.NaN, '', { id: 1 }].map((key): Deed => {
    return {
      name: `returns ${JSON.stringify(key)} (${typeof key}) for a business key`,
      does: () => key,
      of: ['key of what is idempotent'],
      code: 'CLAIM_KEY_INVALID',
    }
  }),
  {
    name: 'returns no text',
    does: () => 5,
    of: ['event type of what is idempotent'],
    code: 'CLAIM_KEY_INVALID',
  },
  ...[undefined, { minor: Number.NaN }, new Map(), { f: () => 1 }].map((fields, i): Deed => {
    return {
      name: `returns no fields, ${i}`,
      does: () => fields,
      of: ['fingerprint of what is idempotent'],
      code: 'FINGERPRINT_INVALID',
    }
  }),
  ...[undefined, null, Number.NaN, -1, 1.5, 8_640_000_000_000_001, '2026', new Date(5), 5n].map((at): Deed => {
    return { name: `returns ${String(at)} for a time`, does: () => at, of: ['timestamp'], code: 'TIMESTAMP_INVALID' }
  }),
]

const BAD = 'a3'
const VALUES = ['a0', 'b1', 'a2', BAD, 'b4', 'a5']
const cases = DEEDS.flatMap((deed) => deed.of.map((name) => [name, deed] as const))

/** Outputs and dead letters of a run to its end; what it stopped with. */
async function ran(
  nodes: readonly GraphNode[],
  values: readonly string[],
  deadLetters: boolean,
  edges?: Case['edges'],
) {
  const world = new World()
  const topic = { connector: 'kafka', topic: 'dead' }
  const chain = chainOf(nodes, deadLetters ? { deadLetters: topic } : {})
  const job = { ...chain, graph: { nodes, edges: edges ?? chain.graph.edges } }
  const one = world.start(job, new MemoryLogSource([records(...values.map((v): [string, number] => [v, 5]))], 4))
  let failed: WeirError | null = null
  try {
    await one.run()
    await one.until('input-ended')
    await one.checkpoint(1)
    await one.commit(1)
  } catch (error) {
    failed = error as WeirError
  }
  const { committed, committedAsides } = world.topic('out')
  return { failed, committed, dead: committedAsides }
}

describe.each(cases)('%s', (name, deed) => {
  const {
    nodes,
    good,
    edges,
    failsAt = 'op',
    isAtSource = false,
    isFired = false,
    isElsewhere = false,
  } = OPERATORS[name]!
  const bad = (...args: never[]): unknown => {
    const value = FOLDS.includes(name) ? args[1] : args[0]
    return (value as unknown) === BAD ? deed.does(...args) : good(...args)
  }

  test(`${deed.name}: named with its operator, where it was read and what to do`, async () => {
    const { failed, committed } = await ran(nodes(bad), VALUES, false, edges)
    expect(failed).toMatchObject({ code: deed.code })
    expect(failed!.facts).toMatchObject({ operatorUid: failsAt })
    expect(failed!.message.length).toBeGreaterThan(40)
    expect(failed!.message).not.toContain(BAD)
    expect(committed).toEqual([])
    if (name === 'timestamp') expect(failed!.facts).toMatchObject({ split: 0, offset: 3 })
    else if (name === 'asyncMap') expect(failed!.facts).toMatchObject({ source: 'in', partition: 0, offset: 3 })
    else if (isAtSource)
      expect(failed!.facts).toMatchObject({ source: 'in', topic: 'of-the-test', partition: 0, offsets: [0, 3] })
  })

  test(`${deed.name}: with dead letters it is aside and the others are as if it had not been there`, async () => {
    const { failed, committed, dead } = await ran(nodes(bad), VALUES, true, edges)
    if (deed.stops) return expect(failed).toMatchObject({ code: deed.code, facts: { operatorUid: failsAt } })
    expect(failed).toBeNull()
    const without = await ran(
      nodes(good),
      VALUES.filter((v) => isElsewhere || v !== BAD),
      true,
      edges,
    )
    expect(committed).toEqual(without.committed)
    const headers = dead.map(({ headers }) =>
      Object.fromEntries(headers.map(([of, v]) => [of, Buffer.from(v!).toString()])),
    )
    expect(headers).toMatchObject([{ 'weir.dead.operator': failsAt, 'weir.dead.error': deed.code }])
    if (isFired) expect(headers[0]).toMatchObject({ 'weir.dead.value': 'json' })
    else expect(headers[0]).toMatchObject({ 'weir.dead.partition': '0', 'weir.dead.offset': '3' })
  })
})

test('a value that cannot be sent is named with the edge it was to cross, or goes aside', async () => {
  class Money {
    readonly minor = 5
    get major(): number {
      return this.minor / 100
    }
  }
  for (const wrong of [new Money(), { at: { f: () => 1 } }, { s: Symbol('s') }]) {
    const nodes = [
      source,
      { kind: 'map', uid: operatorUid('made'), map: (v: unknown) => (v === BAD ? wrong : v) } satisfies GraphNode,
      { kind: 'keyBy', uid, key: () => 'all' } satisfies GraphNode,
      node.concat('sum'),
      node.sink('out'),
    ]
    const { failed } = await ran(nodes, VALUES, false)
    expect(failed).toMatchObject({ code: 'VALUE_NOT_PORTABLE', facts: { operatorUid: 'op' } })
    const { committed, dead } = await ran(nodes, VALUES, true)
    expect(dead).toHaveLength(1)
    expect(committed.at(-1)!.value).toBe('a0 b1 a2 b4 a5 ')
  }
})

test.each([
  [
    'an accumulator',
    [
      source,
      byFirst,
      { kind: 'reduce', uid, initial: { n: 0 }, reduce: (a) => (((a as { n: number }).n += 1), a) },
      node.sink('out'),
    ],
  ],
  [
    'an accumulator of its own making',
    [
      source,
      byFirst,
      {
        ...{ kind: 'reduce', uid, initial: null },
        reduce: (a, v) => (a === null ? [v] : ((a as unknown[]).push(v), a)),
      },
      node.sink('out'),
    ],
  ],
] as [string, GraphNode[]][])('who changes %s in its place is stopped there', async (_, nodes) => {
  const { failed, committed } = await ran(nodes, VALUES, false)
  expect(failed).toMatchObject({ code: 'OPERATOR_FAILED', facts: { operatorUid: 'op' } })
  expect(committed).toEqual([])
})

const overWindow = (does: Wrong): readonly GraphNode[] => {
  const process = (values: readonly string[], _context: never, out: { emit(value: string): void }): unknown => {
    out.emit(values.join())
    return values.includes(BAD) ? does() : undefined
  }
  const node_ = windowProcessOf({ type: 'tumbling', sizeMs: 10 }, any(process as Wrong))
  return [source, byFirst, { uid, ...node_ }, node.sink('out')]
}

test('a function over a whole window that throws is named; with dead letters the window of its key alone has no output', async () => {
  const throws = (): never => {
    throw new RangeError('no such thing')
  }
  const { failed, committed } = await ran(overWindow(throws), VALUES, false)
  expect(failed).toMatchObject({ code: 'OPERATOR_FAILED', facts: { operatorUid: 'op' } })
  expect(committed).toEqual([])
  const aside = await ran(overWindow(throws), VALUES, true)
  expect(aside.failed).toBeNull()
  expect(aside.committed.map(({ value }) => value)).toEqual(['b1,b4'])
  expect(aside.dead).toHaveLength(1)
})

test('a function over a whole window that returns a promise stops the job', async () => {
  for (const deadLetters of [false, true]) {
    const { failed } = await ran(
      overWindow(async () => 1),
      VALUES,
      deadLetters,
    )
    expect(failed).toMatchObject({ code: 'OPERATOR_RETURNED_PROMISE', facts: { operatorUid: 'op' } })
  }
})
