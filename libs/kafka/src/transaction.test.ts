import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { newLane, preparedLane, step } from './transaction.ts'
import { IN_FLIGHT_PER_PARTITION } from './transaction-batches.ts'
import { RETRY_BUDGET_MS } from './transaction-moves.ts'
import {
  type Answer,
  type LaneEffect,
  type LaneEvent,
  type LaneState,
  type Marker,
  type TransactionRequest,
} from './transaction-state.ts'
import type { ProducerIdentity, Protocol } from './wire/apis.ts'

const of = (epoch: number, producerId = 7n): ProducerIdentity => ({ producerId, producerEpoch: epoch })
const marker: Marker = {
  group: 'g',
  topic: 'out',
  sequence: 4,
  offsets: [{ partition: 0, offset: 4n, metadata: '{}' }],
}
const first = { times: 1, forMs: 5 }
const late = { times: 9, forMs: RETRY_BUDGET_MS }

/** Requests as short words, so that a run reads as a list. */
function word(request: TransactionRequest): string {
  switch (request.api) {
    case 'InitProducerId':
      return request.current === null ? 'init' : `init ${request.current.producerId}/${request.current.producerEpoch}`
    case 'AddPartitionsToTxn':
      return `add ${request.places.map((p) => `${p.topic}-${p.partition}`).join(',')}`
    case 'Produce':
      return `produce ${request.place.topic}-${request.place.partition} #${request.batch} @${request.baseSequence} e${request.identity.producerEpoch}`
    case 'AddOffsetsToTxn':
      return 'add-offsets'
    case 'TxnOffsetCommit':
      return `marker ${request.marker.sequence}`
    case 'EndTxn':
      return `${request.commit ? 'commit' : 'abort'} ${request.identity.producerId}/${request.identity.producerEpoch}`
    case 'DescribeTransactions':
      return 'describe'
  }
}

/** A lane with its log. Answers go to the oldest request that is not answered, unless said otherwise. */
class Run {
  state: LaneState
  readonly pending: TransactionRequest[] = []
  #said: string[] = []

  constructor(state: LaneState) {
    this.state = state
  }

  /** What was said since the last call. */
  get said(): string[] {
    return this.#said.splice(0)
  }

  does(event: LaneEvent): this {
    const next = step(this.state, event)
    this.state = next.state
    for (const effect of next.effects) this.#hear(effect)
    return this
  }

  append(batch: number, partition = 0, records = 10, topic = 'out'): this {
    return this.does({ type: 'append', place: { topic, partition }, batch, records })
  }

  answer(answer: Partial<Answer> = {}, tried = first, index = 0): this {
    const [request] = this.pending.splice(index, 1)
    const errorCode = answer.errorCode ?? 0
    const offset = errorCode === 0 && request!.api === 'Produce' ? { baseOffset: 100n } : {}
    return this.does({ type: 'answered', request: request!, answer: { ...offset, ...answer, errorCode }, tried })
  }

  noAnswer(tried = first): this {
    return this.does({ type: 'unanswered', request: this.pending.shift()!, reason: 'connection lost', tried })
  }

  #hear(effect: LaneEffect): void {
    switch (effect.type) {
      case 'send':
        this.pending.push(effect.request)
        this.#said.push(effect.tried.times > 0 ? `again ${word(effect.request)}` : word(effect.request))
        break
      case 'acknowledged':
        this.#said.push(`in log #${effect.batch}`)
        break
      case 'flushed':
        this.#said.push(`flushed ${Object.entries(effect.firstOffsets).join(' ')}`)
        break
      case 'failed':
        this.#said.push(`failed ${effect.error.code} ${effect.error.kind}`)
        break
      default:
        this.#said.push(effect.type)
    }
  }
}

const ready = (protocol: Protocol): Run => {
  const run = new Run(newLane('id', protocol)).does({ type: 'fence' }).answer({ identity: of(3) })
  expect(run.said).toEqual(['init', 'initialised'])
  return run
}
/** One batch in the log. */
const open = (protocol: Protocol): Run => {
  const run = ready(protocol).append(1)
  if (protocol === 'v1') run.answer()
  run.answer()
  void run.said
  return run
}
const prepared = (protocol: Protocol): Run => {
  const run = open(protocol).does({ type: 'flush' }).does({ type: 'mark', marker })
  if (protocol === 'v1') run.answer()
  run.answer()
  expect(run.said.at(-1)).toBe('prepared')
  return run
}

test('v2: a transaction is Produce, TxnOffsetCommit, EndTxn; the next one has the epoch that EndTxn answered', () => {
  const run = ready('v2').append(1)
  expect(run.said).toEqual(['produce out-0 #1 @0 e3'])
  expect(run.answer().said).toEqual(['in log #1'])
  expect(run.does({ type: 'flush' }).said).toEqual(['flushed out-0,100'])
  expect(run.does({ type: 'mark', marker }).answer().said).toEqual(['marker 4', 'prepared'])
  expect(run.does({ type: 'commit' }).said).toEqual(['commit 7/3'])
  expect(run.answer({ identity: of(4) }).said).toEqual(['committed'])
  expect(run.append(2).said).toEqual(['produce out-0 #2 @0 e4'])
})

test('C7: after an overflow the transaction goes on under the new producer id', () => {
  const run = prepared('v2')
    .does({ type: 'commit' })
    .answer({ identity: of(0, 8n) })
  expect(run.state).toMatchObject({ phase: 'ready', identity: { producerId: 8n, producerEpoch: 0 } })
})

test('v1: partitions and group are added, and the epoch is renewed behind EndTxn with the current one (A12)', () => {
  const run = ready('v1').append(1)
  expect(run.said).toEqual(['add out-0'])
  expect(run.answer().said).toEqual(['produce out-0 #1 @0 e3'])
  expect(run.answer().does({ type: 'flush' }).said).toEqual(['in log #1', 'flushed out-0,100'])
  expect(run.does({ type: 'mark', marker }).said).toEqual(['add-offsets'])
  expect(run.answer().said).toEqual(['marker 4'])
  expect(run.answer().said).toEqual(['prepared'])
  expect(run.does({ type: 'commit' }).answer().said).toEqual(['commit 7/3', 'init 7/3', 'committed'])
  expect(run.answer({ identity: of(4) }).said).toEqual([])
  expect(run.append(2).answer().said).toEqual(['add out-0', 'produce out-0 #2 @0 e4'])
})

test('v1: what is appended while the epoch is renewed waits for it', () => {
  const run = prepared('v1').does({ type: 'commit' }).answer()
  void run.said
  expect(run.append(2).append(3, 1).does({ type: 'flush' }).said).toEqual([])
  expect(run.answer({ identity: of(4) }).said).toEqual(['add out-0,out-1'])
  expect(run.answer().said).toEqual(['produce out-0 #2 @0 e4', 'produce out-1 #3 @0 e4'])
  expect(run.answer().answer().said).toEqual(['in log #2', 'in log #3', 'flushed out-0,100 out-1,100'])
})

test('v1: partitions that come later are added by one more request', () => {
  const run = ready('v1').append(1).append(2, 1).append(3, 0, 10, 'aside')
  expect(run.said).toEqual(['add out-0'])
  expect(run.answer().said).toEqual(['add out-1,aside-0', 'produce out-0 #1 @0 e3'])
})

test('who has stood still while it took an id over, or renewed it, does not go on: somebody else may have it by now', () => {
  const taking = new Run(newLane('id', 'v2')).does({ type: 'fence' }).answer({ errorCode: 51 }, first)
  expect(taking.said).toEqual(['init', 'again init'])
  taking.does({ type: 'overslept', request: taking.pending[0]!, byMs: 30_000 })
  expect(taking.said).toEqual(['failed PROCESS_SUSPENDED restart'])
  expect(taking.state.phase).toBe('broken')

  const renewing = open('v1').does({ type: 'flush' }).does({ type: 'mark', marker }).answer().answer()
  renewing.does({ type: 'commit' }).answer().noAnswer()
  void renewing.said
  renewing.does({ type: 'overslept', request: renewing.pending[0]!, byMs: 30_000 })
  expect(renewing.said).toEqual(['failed PROCESS_SUSPENDED restart'])

  // A commit that was commanded is repeated, however late: it names its transaction and no other.
  const ending = open('v2').does({ type: 'flush' }).does({ type: 'mark', marker }).answer().does({ type: 'commit' })
  void ending.noAnswer().said
  ending.does({ type: 'overslept', request: ending.pending[0]!, byMs: 30_000 })
  expect([ending.said, ending.state.phase]).toEqual([[], 'ending'])
})

test('a partition gets one batch until its first offset is known, then at most four from the oldest unanswered', () => {
  const run = ready('v2')
  for (let batch = 1; batch <= 7; batch++) run.append(batch)
  expect(run.said).toEqual(['produce out-0 #1 @0 e3'])
  expect(run.answer().said).toEqual([
    'in log #1',
    'produce out-0 #2 @10 e3',
    'produce out-0 #3 @20 e3',
    'produce out-0 #4 @30 e3',
    'produce out-0 #5 @40 e3',
  ])
  // The third is answered before the second: the window ends at the second.
  expect(run.answer({}, first, 1).said).toEqual(['in log #3'])
  expect(run.answer().said).toEqual(['in log #2', 'produce out-0 #6 @50 e3', 'produce out-0 #7 @60 e3'])
})

test('a batch behind one that got lost is out of order for a while, alone it is for good', () => {
  const run = open('v2').append(2).append(3)
  void run.said
  expect(run.noAnswer().said).toEqual(['again produce out-0 #2 @10 e3'])
  expect(run.answer({ errorCode: 45 }).said).toEqual(['again produce out-0 #3 @20 e3'])
  expect(run.answer().said).toEqual(['in log #2'])
  expect(run.answer({ errorCode: 45 }).said).toEqual(['failed KAFKA_REFUSED restart'])
})

test('a repeated batch that the log has already is in the log', () => {
  const run = open('v2').append(2).noAnswer()
  void run.said
  expect(run.answer({ errorCode: 46 }).said).toEqual(['in log #2'])
})

test('an unknown topic is waited for a few seconds only', () => {
  const run = ready('v2').append(1)
  void run.said
  expect(run.answer({ errorCode: 3 }).said).toEqual(['again produce out-0 #1 @0 e3'])
  expect(run.answer({ errorCode: 3 }, { times: 9, forMs: 5_000 }).said).toEqual(['failed KAFKA_REFUSED restart'])
})

test('the marker goes beside the last batches, and prepared is what is all in the log and marked', () => {
  const run = open('v2').append(2).append(3, 0, 5).does({ type: 'flush' })
  void run.said
  expect(run.does({ type: 'mark', marker }).said).toEqual(['marker 4'])
  expect(run.answer({}, first, 2).said).toEqual([]) // to the marker
  expect(run.answer().said).toEqual(['in log #2'])
  expect(run.answer().said).toEqual(['in log #3', 'flushed out-0,100', 'prepared'])
  expect(run.does({ type: 'commit' }).said).toEqual(['commit 7/3'])
})

test('v1: the group joins beside the last batches, the marker behind it', () => {
  const run = open('v1').append(2).does({ type: 'flush' })
  void run.said
  expect(run.does({ type: 'mark', marker }).said).toEqual(['add-offsets'])
  expect(run.answer({}, first, 1).said).toEqual(['marker 4'])
  expect(run.answer().said).toEqual(['in log #2', 'flushed out-0,100'])
  expect(run.answer().said).toEqual(['prepared'])
})

test('beside batches with which a partition joins the transaction the coordinator would put the marker off: it comes behind them', () => {
  const run = open('v2').append(2, 1).does({ type: 'flush' })
  void run.said
  expect(run.does({ type: 'mark', marker }).said).toEqual([])
  expect(run.answer().said).toEqual(['in log #2', 'flushed out-0,100 out-1,100', 'marker 4'])
  expect(run.answer().said).toEqual(['prepared'])
})

test('v1: a marker that is asked for while the epoch is renewed waits as the batches do', () => {
  const run = prepared('v1').does({ type: 'commit' }).answer()
  void run.said
  expect(run.append(2).does({ type: 'flush' }).does({ type: 'mark', marker }).said).toEqual([])
  expect(run.answer({ identity: of(4) }).answer().said).toEqual(['add out-0', 'produce out-0 #2 @0 e4'])
  expect(run.answer().said).toEqual(['in log #2', 'flushed out-0,100', 'add-offsets'])
  expect(run.answer().answer().said).toEqual(['marker 4', 'prepared'])
})

test('a marker that is refused ends the transaction, whatever of it is on its way', () => {
  const run = open('v2').append(2).does({ type: 'flush' }).does({ type: 'mark', marker })
  void run.said
  expect(run.answer({ errorCode: 90 }, first, 1).said).toEqual(['failed PRODUCER_FENCED fenced'])
  expect(run.answer().said).toEqual([])
})

test('a transaction without a batch is none', () => {
  expect(ready('v2').does({ type: 'mark', marker }).said).toEqual(['empty'])
  expect(ready('v1').does({ type: 'mark', marker }).said).toEqual(['empty'])
})

test('v2: offsets alone make a transaction, where somebody asks for it by a flush', () => {
  const run = ready('v2').does({ type: 'flush' })
  expect(run.said).toEqual(['flushed '])
  expect(run.does({ type: 'mark', marker }).answer().said).toEqual(['marker 4', 'prepared'])
  expect(run.does({ type: 'commit' }).said).toEqual(['commit 7/3'])
})

test('v1: and behind a transaction that is not renewed yet they wait for the epoch', () => {
  const run = prepared('v1').does({ type: 'commit' }).answer()
  void run.said
  expect(run.does({ type: 'flush' }).said).toEqual([])
  expect(run.answer({ identity: of(4) }).said).toEqual(['flushed '])
  expect(run.does({ type: 'mark', marker }).answer().said).toEqual(['add-offsets', 'marker 4'])
})

describe.each(['v1', 'v2'] as const)('%s', (protocol) => {
  test.each([
    ['14 COORDINATOR_LOAD_IN_PROGRESS', 14],
    ['16 NOT_COORDINATOR', 16],
    ['51 CONCURRENT_TRANSACTIONS', 51],
  ])('C8: %s to a commit is repeated, and in the end unknown', (_, errorCode) => {
    const run = prepared(protocol).does({ type: 'commit' })
    void run.said
    expect(run.answer({ errorCode }).said).toEqual(['again commit 7/3'])
    expect(run.answer({ errorCode }, late).said).toEqual(['describe'])
    expect(run.answer({ description: 'PrepareCommit, producer 7, epoch 3' }).said).toEqual([
      'failed KAFKA_UNAVAILABLE retry',
    ])
    // It may be committed yet: nobody aborts it.
    expect(run.does({ type: 'abort' }).said).toEqual(['aborted'])
  })

  test('C8: a commit without an answer is repeated, and in the end unknown', () => {
    const run = prepared(protocol).does({ type: 'commit' })
    void run.said
    expect(run.noAnswer().said).toEqual(['again commit 7/3'])
    expect(run.noAnswer(late).said).toEqual(['describe'])
    expect(run.noAnswer().said).toEqual(['failed KAFKA_UNAVAILABLE retry'])
  })

  test.each([47, 48, 49, 90])(
    'a commit refused with %i decides nothing: the facts are asked for, recovery judges',
    (errorCode) => {
      const run = prepared(protocol).does({ type: 'commit' })
      void run.said
      expect(run.answer({ errorCode }).said).toEqual(['describe'])
      expect(run.answer({ description: 'CompleteCommit, producer 7, epoch 4' }).said).toEqual([
        'failed COMMIT_REFUSED restart',
      ])
    },
  )

  test('a handle of another process is ended with its own epoch, and nothing follows that could hit a successor', () => {
    const run = new Run(preparedLane('id', protocol, of(5), 9)).does({ type: 'commit' })
    expect(run.said).toEqual(['commit 7/5'])
    expect(run.answer({ identity: of(6) }).said).toEqual(['committed'])
    expect(run.state.phase).toBe('over')
  })

  test('who is fenced is told so, and no answer that comes later changes it', () => {
    const run = open(protocol).append(2).append(3)
    void run.said
    expect(run.answer({ errorCode: 90 }).said).toEqual(['failed PRODUCER_FENCED fenced'])
    expect(run.answer().said).toEqual([])
    expect(run.state.phase).toBe('fenced')
  })

  test('a record that the topic does not take is invalid, and the transaction can be aborted', () => {
    const run = open(protocol).append(2)
    void run.said
    expect(run.answer({ errorCode: 10 }).said).toEqual(['failed KAFKA_REFUSED invalid'])
    expect(run.does({ type: 'abort' }).said).toEqual(['abort 7/3'])
  })

  test('abort is EndTxn, which compares the epoch, and never InitProducerId, which a zombie could use to destroy', () => {
    for (const run of [open(protocol), prepared(protocol)]) {
      void run.said
      run.does({ type: 'abort' })
      expect(run.said).toEqual(['abort 7/3'])
      expect(run.answer().said).toEqual(['abort 7/3'])
      expect(run.answer({ errorCode: 51 }).said).toEqual(['again abort 7/3'])
      expect(run.answer().said).toEqual(['aborted'])
      expect(run.state.phase).toBe('over')
    }
  })

  test('nothing open, nothing to abort; refused, it was not open under this epoch', () => {
    expect(ready(protocol).does({ type: 'abort' }).said).toEqual(['aborted'])
    const run = open(protocol).does({ type: 'abort' })
    void run.said
    expect(run.answer({ errorCode: 90 }).said).toEqual(['aborted'])
  })

  test('what does not fit is an error of the caller', () => {
    expect(() => ready(protocol).does({ type: 'commit' })).toThrow('commit while id is ready')
    expect(() => prepared(protocol).append(9)).toThrow('append while id is prepared')
    expect(() => open(protocol).append(2).does({ type: 'mark', marker })).toThrow('mark while id is open')
    expect(() => open(protocol).does({ type: 'flush' }).append(2)).toThrow('append while id is open')
    expect(() => open(protocol).append(2).does({ type: 'flush' }).does({ type: 'flush' })).toThrow('flush while id is')
  })
})

test('v1: closed behind a commit, the same; the renewal is not sent again', () => {
  const run = prepared('v1').does({ type: 'commit' }).answer()
  void run.said
  expect(run.does({ type: 'abort' }).said).toEqual(['commit 7/3'])
  expect(run.answer({ errorCode: 51 }).said).toEqual([]) // to the renewal
  expect(run.answer({ errorCode: 90 }).said).toEqual(['aborted']) // renewed, so committed
})

test('v2: closed behind a commit, the lane waits until its control records are in the log', () => {
  const run = prepared('v2')
    .does({ type: 'commit' })
    .answer({ identity: of(4) })
  void run.said
  expect(run.does({ type: 'abort' }).said).toEqual(['commit 7/3'])
  expect(run.answer({ errorCode: 51 }).said).toEqual(['again commit 7/3'])
  expect(run.answer({ identity: of(4) }).said).toEqual(['aborted'])
})

// ---- every run ------------------------------------------------------------------------------------------------------

/** What a coordinator and its leaders know, as little as it takes to judge a client. */
class Broker {
  readonly #protocol: Protocol
  epoch = 0
  ended = new Set<number>()
  members = new Set<string>()
  marked = false
  /** Partition → records of the transaction, in order. */
  log = new Map<string, number[]>()
  commits: { readonly epoch: number; readonly batches: readonly number[]; readonly marked: boolean }[] = []

  constructor(protocol: Protocol) {
    this.#protocol = protocol
  }

  answer(request: TransactionRequest, records: ReadonlyMap<number, number>): Answer {
    const epoch = request.api === 'InitProducerId' ? request.current?.producerEpoch : request.identity.producerEpoch
    switch (request.api) {
      case 'InitProducerId':
        if (epoch === undefined || epoch === this.epoch) this.#next()
        return { errorCode: 0, identity: of(this.epoch) }
      case 'AddPartitionsToTxn':
        if (epoch !== this.epoch || this.ended.has(epoch)) return { errorCode: 47 }
        for (const p of request.places) this.members.add(`${p.topic}-${p.partition}`)
        return { errorCode: 0 }
      case 'Produce': {
        const place = `${request.place.topic}-${request.place.partition}`
        if (epoch !== this.epoch || this.ended.has(epoch)) return { errorCode: 47 }
        if (this.#protocol === 'v1' && !this.members.has(place)) return { errorCode: 48 }
        const log = this.log.get(place) ?? []
        const length = log.reduce((sum, batch) => sum + records.get(batch)!, 0)
        if (log.includes(request.batch)) return { errorCode: 0, baseOffset: 0n }
        if (request.baseSequence !== length) return { errorCode: 45 }
        this.log.set(place, [...log, request.batch])
        return { errorCode: 0, baseOffset: BigInt(length) }
      }
      case 'AddOffsetsToTxn':
        if (epoch !== this.epoch) return { errorCode: 47 }
        this.members.add('offsets')
        return { errorCode: 0 }
      case 'TxnOffsetCommit':
        if (epoch !== this.epoch) return { errorCode: 47 }
        if (this.#protocol === 'v1' && !this.members.has('offsets')) return { errorCode: 48 }
        this.marked = true
        return { errorCode: 0 }
      case 'EndTxn': {
        if (!this.ended.has(epoch!)) {
          if (epoch !== this.epoch) return { errorCode: 90 }
          this.ended.add(epoch)
          if (request.commit) this.commits.push({ epoch, batches: [...this.log.values()].flat(), marked: this.marked })
          if (this.#protocol === 'v2') this.#next()
        }
        return this.#protocol === 'v2' ? { errorCode: 0, identity: of(this.epoch) } : { errorCode: 0 }
      }
      case 'DescribeTransactions':
        return { errorCode: 0, description: 'Empty' }
    }
  }

  #next(): void {
    this.epoch++
    this.members.clear()
    this.log.clear()
    this.marked = false
  }
}

/** A caller that does everything a caller may do, one thing after the other. */
class Caller {
  readonly records = new Map<number, number>()
  readonly pending: TransactionRequest[] = []
  /** Batches of each transaction. */
  readonly written: number[][] = [[]]
  #state: LaneState
  #may: 'fence' | 'append' | 'mark' | 'commit' | 'nothing' = 'fence'

  constructor(protocol: Protocol) {
    this.#state = newLane('id', protocol)
  }

  act(pick: number): void {
    const may = this.#may
    if (may === 'nothing') return
    if (may === 'append') {
      if (pick % 4 === 0) {
        this.#may = 'mark' // at once, or when what is flushed is there
        return this.hear({ type: 'flush' })
      }
      const batch = this.records.size + 1
      const records = 1 + (pick % 5)
      this.records.set(batch, records)
      this.written.at(-1)!.push(batch)
      return this.hear({ type: 'append', place: { topic: 't', partition: pick % 2 }, batch, records })
    }
    this.#command(may === 'mark' ? { type: 'mark', marker } : { type: may })
  }

  #command(event: LaneEvent): void {
    this.#may = 'nothing'
    this.hear(event)
  }

  hear(event: LaneEvent): void {
    const { state, effects } = step(this.#state, event)
    this.#state = state
    for (const effect of effects) {
      if (effect.type === 'send') this.pending.push(effect.request)
      else if (effect.type === 'failed') throw effect.error
      else if (effect.type === 'initialised') this.#may = 'append'
      else if (effect.type === 'prepared') this.#may = 'commit'
      else if (effect.type === 'committed') {
        this.written.push([])
        this.#may = 'append'
      }
    }
    for (const { inFlight } of 'partitions' in state ? state.partitions.values() : []) {
      const span = inFlight.length === 0 ? 0 : inFlight.at(-1)!.ordinal - inFlight[0]!.ordinal + 1
      expect(span).toBeLessThanOrEqual(IN_FLIGHT_PER_PARTITION)
    }
  }
}

test.each(['v1', 'v2'] as const)(
  '%s: whatever is lost, late or answered in another order, each transaction is committed whole, once, marked, in order',
  (protocol) => {
    const choice = fc.record({
      pick: fc.nat(20),
      fate: fc.constantFrom('answered', 'answered', 'answered', 'delayed', 'answer lost', 'later'),
    })
    let commits = 0
    fc.assert(
      fc.property(fc.array(choice, { minLength: 200, maxLength: 400 }), (choices) => {
        const broker = new Broker(protocol)
        const delayed: TransactionRequest[] = []
        const caller = new Caller(protocol)
        for (const { pick, fate } of choices) {
          // It arrives at last; nobody waits for its answer any more.
          if (pick === 0 && delayed.length > 0) broker.answer(delayed.shift()!, caller.records)
          if (caller.pending.length === 0 || pick % 3 === 0) {
            caller.act(pick)
            continue
          }
          const [request] = caller.pending.splice(pick % caller.pending.length, 1)
          const lost = { type: 'unanswered', request: request!, reason: 'lost', tried: first } as const
          if (fate === 'delayed') {
            // An InitProducerId that comes late fences its own sender: safe, but the end of the run.
            if (request!.api !== 'InitProducerId') delayed.push(request!)
            caller.hear(lost)
          } else if (fate === 'later')
            caller.hear({ type: 'answered', request: request!, answer: { errorCode: 51 }, tried: first })
          else {
            const answer = broker.answer(request!, caller.records)
            caller.hear(fate === 'answer lost' ? lost : { type: 'answered', request: request!, answer, tried: first })
          }
        }
        const committed = broker.commits.map((c) => [...c.batches].sort((a, b) => a - b))
        expect(committed).toEqual(caller.written.slice(0, committed.length))
        expect(broker.commits.every((c) => c.marked)).toBe(true)
        expect(new Set(broker.commits.map((c) => c.epoch)).size).toBe(committed.length)
        commits += committed.length
      }),
      { numRuns: 100 },
    )
    expect(commits).toBeGreaterThan(100)
  },
)
