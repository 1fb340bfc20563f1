import { useEffect, useState, type ReactNode } from 'react'
import { Actions } from './actions.tsx'
import { get, list, tagged } from './api.ts'
import { Checkpoints } from './checkpoints.tsx'
import { Figures, Panel, State, Table } from './parts.tsx'
import { Shown, usePolled } from './polled.tsx'
import { Slices } from './slices.tsx'
import { Splits } from './splits.tsx'
import { Throughput } from './throughput.tsx'
import {
  NO_RATES,
  count,
  ledger,
  milliseconds,
  sampled,
  type Checkpoint,
  type Job,
  type Rates,
  type Transaction,
} from './view.ts'

const LEDGER_TELLS = {
  open: 'being written',
  prepared: 'closed, waits for its epoch',
  published: 'its epoch is the truth; being committed',
  committed: 'seen by readers',
  lost: 'aborted by the broker behind a published epoch',
  foreign: 'of an id of this job, made by nobody here',
} as const

export function JobPage({ id }: { id: string }): ReactNode {
  const path = `jobs/${encodeURIComponent(id)}`
  const job = usePolled(path, () => tagged<Job>(path))
  const checkpoints = usePolled(`${path}/checkpoints`, () => get<readonly Checkpoint[]>(`${path}/checkpoints`))
  const transactions = usePolled(`${path}/transactions`, () => list<Transaction>(`${path}/transactions`))
  const [rates, setRates] = useState<Rates>(NO_RATES)
  const { data, dataUpdatedAt } = job
  useEffect(() => {
    if (data !== undefined) setRates((before) => sampled(before, dataUpdatedAt, data.body))
  }, [data, dataUpdatedAt])
  return (
    <>
      <Shown of={job}>
        {({ body: it, etag }) => (
          <>
            <header>
              <h1>{id}</h1>
              <State job={it} />
              <Actions job={it} etag={etag} />
            </header>
            {it.error && (
              <p role={it.state === 'FAILED' ? 'alert' : undefined} className="quiet">
                {it.state === 'FAILED' ? '' : 'Last failure: '}
                {it.error.code}: {it.error.message}
              </p>
            )}
            {it.alerts.map(({ code, message }) => (
              <p key={code} role="alert">
                {code}: {message}
              </p>
            ))}
            <Figures
              of={[
                { name: 'Records in', value: count(it.recordsIn) },
                { name: 'Final epoch', value: it.finalEpoch, note: `published ${it.publishedEpoch}` },
                {
                  name: 'Parallelism',
                  value: it.parallelism,
                  note: it.rescalingTo === null ? undefined : `→ ${it.rescalingTo}`,
                },
                {
                  name: 'Restarts',
                  value: it.restarts,
                  note: it.regionRestarts === 0 ? undefined : `and ${it.regionRestarts} of regions`,
                },
                { name: 'Last recovery', value: it.lastRecoveryMs === null ? '–' : milliseconds(it.lastRecoveryMs) },
                { name: 'Healed', value: it.healedTransactions, note: 'transactions' },
              ].map(({ note, ...figure }) => (note === undefined ? figure : { ...figure, note }))}
            />
            <Throughput rates={rates} />
          </>
        )}
      </Shown>
      <Shown of={checkpoints}>{(all) => <Checkpoints of={all} />}</Shown>
      <Panel title="Ledger" note="transactions by what has become of them">
        <Shown of={transactions}>
          {(all) => (
            <Table
              label="Ledger"
              columns={[{ head: 'State' }, { head: 'Transactions', number: true }, { head: 'Which is' }]}
              rows={Object.entries(ledger(all)).map(([state, of]) => ({
                key: state,
                cells: [
                  <span className={state === 'lost' && of > 0 ? 'bad' : 'plain'}>{state}</span>,
                  of,
                  LEDGER_TELLS[state as keyof typeof LEDGER_TELLS],
                ],
              }))}
            />
          )}
        </Shown>
      </Panel>
      {data !== undefined && (
        <>
          <Splits job={data.body} now={dataUpdatedAt} />
          <Slices job={data.body} />
        </>
      )}
    </>
  )
}
