import { planJob, type ResumableOperator } from '@weir/dataflow'
import { expect, expectTypeOf, test } from 'vitest'
import { job, json, kafka, sideOutput, tumbling, type None, type Out, type Stream } from './index.ts'

interface Order {
  readonly user: string
  readonly amountMinor: number
}
const orders = kafka.topic('orders', { value: json<Order>(), uid: 'orders' })

class Odd implements ResumableOperator<Order, Order, never, { odd: ReturnType<typeof sideOutput<string>> }> {
  prepare(): void {}
  execute(
    order: Order,
    { emit, sides }: Parameters<ResumableOperator<Order, Order, never, typeof odd>['execute']>[1],
  ): void {
    if (order.amountMinor % 2 === 1) sides.odd.emit(order.user)
    else emit(order)
  }
  snapshotState(): readonly never[] {
    return []
  }
  restoreState(): void {}
}
const odd = { odd: sideOutput<string>() }

test('a side output is a stream of its own type, taken by name; a wrong name does not compile', () => {
  const definition = job('j', (flow) => {
    const stream = flow.from(orders)
    const limits = stream
      .keyBy((o) => o.user)
      .process('limits', {
        sides: { large: sideOutput<Order>(), users: sideOutput<string>() },
        onRecord({ sides }, order, out: Out<number>) {
          if (order.amountMinor > 100) sides.large.emit(order)
          else out.emit(order.amountMinor)
          sides.users.emit(order.user)
          // @ts-expect-error it is called large
          void ((): unknown => sides.larger)
          // @ts-expect-error it carries orders
          void ((): unknown => sides.large.emit(1))
        },
      })
    limits.to(kafka.sink('sums'))
    const large = limits.sideOutput('large')
    expectTypeOf(large).toEqualTypeOf<Stream<Order>>()
    expectTypeOf(limits.sideOutput('users')).toEqualTypeOf<Stream<string>>()
    large.to(kafka.sink('large'))
    large
      .keyBy((o) => o.user)
      .reduce('count', 0, (n) => n + 1)
      .to(kafka.sink('counts'))
    limits.sideOutput('users').to(kafka.sink('users'))
    limits.sideOutput('large').to(kafka.sink('again'))
    // @ts-expect-error there is no such side output
    void ((): unknown => limits.sideOutput('larger'))
    // @ts-expect-error a map has none
    void ((): unknown => stream.map((o) => o).sideOutput('large'))

    const evens = stream.process('evens', () => new Odd(), { sides: odd })
    evens.to(kafka.sink('evens'))
    expectTypeOf(evens.sideOutput('odd')).toEqualTypeOf<Stream<string>>()
    evens.sideOutput('odd').to(kafka.sink('odd'))
    const plain = stream.keyBy((o) => o.user).process('plain', { onRecord: (_, o, out: Out<Order>) => out.emit(o) })
    const counts = stream
      .keyBy((o) => o.user)
      .window(tumbling('10s'))
      .count('per-10s')
    expectTypeOf(counts.sideOutput('late')).toEqualTypeOf<Stream<Order>>()
    counts.sideOutput('late').to(kafka.sink('late'))
    expectTypeOf<keyof None>().toEqualTypeOf<never>()
    plain.to(kafka.sink('plain'))
    // @ts-expect-error it has none
    void ((): unknown => plain.sideOutput('large'))
  })
  const { nodes } = planJob(definition).summary
  const sides = nodes.filter(({ kind }) => kind === 'sideOutput').map(({ uid }) => uid)
  expect(sides).toEqual(['limits.large', 'limits.users', 'evens.odd', 'per-10s.late'])
})
