/**
 * A custom operator with state of its own: orders leave in batches of 100, each order in exactly one.
 *
 *     weir submit apps/examples/src/03-batches.ts --set orders=orders --set batches=order-batches
 */
import { job, json, kafka, log, params, RestoreHooks, type ExecuteContext, type ResumableOperator } from '@weir/sdk'
import { z } from 'zod'

const p = params({
  orders: 'orders',
  batches: 'order-batches',
  parallelism: 2,
  intervalMs: 1_000,
  rate: Number,
  /** Reads up to the end the topic had at the start, then finishes. */
  bounded: false,
  /** `log`: the embedded one, without any server. */
  server: 'kafka',
  /** Go on at the beginning of the log where retention has deleted unread orders, instead of stopping. */
  goOn: false,
})

const server: typeof kafka = p.server === 'log' ? log : kafka

const Order = z.object({ id: z.number(), amountMinor: z.number().int() })
type Order = z.infer<typeof Order>

export interface Batch {
  readonly orders: readonly number[]
  readonly sumMinor: number
  /** Orders this subtask has taken, those of this batch included. */
  readonly taken: number
}
const BATCH_ORDERS = 100

/** Every open order is a piece of its state, so that a rescale may deal them out to others. */
class Batches implements ResumableOperator<Order, Batch, Order> {
  readonly hooks = new RestoreHooks()
  #open: Order[] = []
  #taken = 0

  constructor() {
    // State beside the pieces: a figure of this subtask, which no rescale moves.
    this.hooks.register<number>({
      name: 'taken',
      snapshotState: () => this.#taken,
      onRestore: (taken = 0) => void (this.#taken = taken),
    })
  }

  prepare(): void {}

  execute(order: Order, context: ExecuteContext<Batch>): void {
    this.#taken++
    this.#open.push(order)
    if (this.#open.length >= BATCH_ORDERS) this.#emit(context)
  }

  /** The end of bounded input: what is left over. */
  finish(context: ExecuteContext<Batch>): void {
    if (this.#open.length > 0) this.#emit(context)
  }

  snapshotState(): readonly Order[] {
    return this.#open
  }

  restoreState(orders: readonly Order[]): void {
    this.#open = [...orders]
  }

  #emit(context: ExecuteContext<Batch>): void {
    const batch = this.#open
    this.#open = []
    const sumMinor = batch.reduce((sum, { amountMinor }) => sum + amountMinor, 0)
    context.emit({ orders: batch.map(({ id }) => id), sumMinor, taken: this.#taken })
  }
}

export default job(
  'batches',
  {
    parallelism: p.parallelism,
    checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: 0 },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const { bounded, goOn, rate: recordsPerSecond } = p
    flow
      .from(
        server.topic(p.orders, {
          value: json(Order),
          until: bounded ? 'latest' : 'none',
          outOfRange: goOn ? 'earliest' : 'fail',
          recordsPerSecond,
        }),
        'orders',
      )
      .process('batches', () => new Batches())
      .to(server.sink(p.batches), 'out')
  },
)
