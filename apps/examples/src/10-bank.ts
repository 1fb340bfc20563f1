/**
 * The exactly-once bank: transfers between accounts, money in minor units. What one account loses another one gets, so however many
 * processes are killed, the balances of all accounts together are what they were opened with: at every checkpoint, and at the end.
 *
 *     npm run example -- 10        # kills a task-manager on the way and audits the balances from outside
 */
import {
  datagen,
  job,
  json,
  kafka,
  log,
  params,
  valueState,
  type KeyedProcess,
  type None,
  type Out,
  type Payment,
  type Source,
} from '@weir/sdk'

const p = params({
  /** A topic of Kafka with transfers; empty: generated ones, and the statements go into the embedded log. */
  transfers: '',
  statements: 'statements',
  splits: 4,
  recordsPerSplit: Number,
  rate: 5_000,
  accounts: 100,
  parallelism: 2,
  intervalMs: 500,
})

export const OPENING_MINOR = 100_000

export interface Transfer {
  readonly id: string
  readonly from: string
  readonly to: string
  readonly amountMinor: number
}
/** One side of a transfer. */
interface Entry {
  readonly transfer: string
  readonly account: string
  readonly amountMinor: number
}
export interface Statement {
  readonly account: string
  /** Of this account, from 1 without a gap. */
  readonly number: number
  readonly transfer: string
  readonly balanceMinor: number
}

/** Both or none: they leave in one batch, so no barrier is between them. */
const entriesOf = ({ id, from, to, amountMinor }: Transfer): Entry[] => [
  { transfer: id, account: from, amountMinor: -amountMinor },
  { transfer: id, account: to, amountMinor },
]

const state = { balance: valueState({ initial: OPENING_MINOR }), number: valueState({ initial: 0 }) }

const accounts: KeyedProcess<Entry, Statement, typeof state, None> = {
  state,
  onRecord({ state }, { account, transfer, amountMinor }, out: Out<Statement>) {
    const number = state.number.get() + 1
    const balanceMinor = state.balance.get() + amountMinor
    state.number.set(number)
    state.balance.set(balanceMinor)
    out.emit({ account, number, transfer, balanceMinor })
  },
}

/** A generated payment as a transfer: whom it goes to is a function of its id. */
const transferOf = ({ id, user, amountMinor }: Payment): Transfer => {
  const to = [...id].reduce((hash, char) => (hash * 31 + char.charCodeAt(0)) % p.accounts, 7)
  return { id, from: user, to: `u-${to}`, amountMinor }
}

const generated = (): Source<Payment> =>
  datagen.payments({
    splits: p.splits,
    recordsPerSplit: p.recordsPerSplit ?? null,
    users: p.accounts,
    recordsPerSecond: p.rate,
    paidPercent: 100,
  })
const fromKafka = (): Source<Transfer> =>
  kafka.topic(p.transfers, { value: json<Transfer>(), until: 'latest', recordsPerSecond: p.rate })

export default job(
  'bank',
  {
    parallelism: p.parallelism,
    checkpoint: { intervalMs: p.intervalMs, everyRecords: null, minPauseMs: 0 },
    restart: { attempts: 10, delayMs: 200 },
  },
  (flow) => {
    const transfers =
      p.transfers === ''
        ? flow.from(generated(), 'transfers').map(transferOf, 'transfer')
        : flow.from(fromKafka(), 'transfers')
    transfers
      .flatMap(entriesOf, 'entries')
      .keyBy((entry) => entry.account, 'by-account')
      .process('accounts', accounts)
      .to(p.transfers === '' ? log.sink(p.statements) : kafka.sink(p.statements), 'statements')
  },
)
