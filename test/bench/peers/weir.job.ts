/** The works of the peers' bench as a job. Only what is needed is read, and travels. */
import { job, jsonFields, kafka, monotonous, params, tumbling } from '@weir/sdk'

const p = params({
  work: 'sum',
  input: 'orders',
  output: 'outputs',
  shuffle: true,
  onLost: 'heal',
  scope: 'epoch',
  intervalMs: 1_000,
  parallelism: 2,
})

const WINDOW = '10s'
/** Event time in ms: every user has ten orders in a window. */
const timeOf = ({ id }: { readonly id: number }): number => Math.floor(id / 10)
const intervals =
  p.scope === 'continuous'
    ? { commit: { scope: 'continuous', intervalMs: p.intervalMs } as const }
    : { checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: 0 } }

export default job('peers', { parallelism: p.parallelism, ...intervals }, (flow) => {
  const onLost = p.onLost === 'fail' ? 'fail' : 'heal'
  if (p.work === 'window') {
    const timed = kafka.topic(p.input, {
      ...{ value: jsonFields({ id: 'number', user: 'string' }), timestamp: timeOf },
      watermarks: monotonous(),
    })
    flow
      .from(timed, 'orders')
      .map(({ user }) => user, 'users')
      .keyBy((user) => user, 'by-user')
      .window(tumbling(WINDOW))
      .count('counts')
      .to(kafka.sink(p.output, { onLost }), 'outputs')
    return
  }
  if (p.work === 'filter') {
    const value = jsonFields({ id: 'number', user: 'string', amountMinor: 'number', status: 'string' })
    flow
      .from(kafka.topic(p.input, { value }), 'orders')
      .filter(({ status, amountMinor }) => status === 'PAID' && amountMinor % 2 === 0, 'wanted')
      .map(({ id, user, amountMinor }) => ({ id, user, amountMinor: amountMinor * 2 }), 'doubled')
      .to(kafka.sink(p.output, { onLost, keyOf: ({ user }) => user }), 'outputs')
    return
  }
  const amounts = jsonFields({ user: 'string', amountMinor: 'number' })
  const orders = flow.from(kafka.topic(p.input, { value: amounts }), 'orders')
  const add = (sum: number, { amountMinor }: { readonly amountMinor: number }): number => sum + amountMinor
  const sums = p.shuffle
    ? orders.keyBy(({ user }) => user, 'by-user').reduce('balance', 0, add)
    : orders.keyedBySource(({ user }) => user, 'by-user').reduce('balance', 0, add)
  sums.to(kafka.sink(p.output, { onLost }), 'outputs')
})
