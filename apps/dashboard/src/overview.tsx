/** How a job does. */
import { lazy, Suspense, useEffect, useState, type ReactNode } from 'react'
import { get, list } from './api.ts'
import { Checkpoints } from './checkpoints.tsx'
import type { JobGraph } from './layout.ts'
import { said, type OneJob } from './live.ts'
import { Figures, Panel, Table } from './parts.tsx'
import { Shown, useAnswer, usePolled } from './polled.tsx'
import { Rate } from './rate.tsx'
import { NO_RATES, sampled, type Rates } from './rates.ts'
import { Slices } from './slices.tsx'
import { Splits } from './splits.tsx'
import { count, ledger, milliseconds, quantile, time, type Transaction } from './view.ts'

/** Half of the page's code, and not needed for what is read first. */
const Graph = lazy(() => import('./graph.tsx'))

const LEDGER_TELLS = {
  open: 'being written',
  prepared: 'closed, waits for its epoch',
  published: 'its epoch is the truth; being committed',
  committed: 'seen by readers',
  lost: 'aborted by the broker behind a published epoch',
  foreign: 'of an id of this job, made by nobody here',
} as const

export function Overview({ of: { job: it, checkpoints, notices } }: { of: OneJob }): ReactNode {
  const path = `jobs/${encodeURIComponent(it.jobId)}`
  const graph = useAnswer(`${path}/graph`, () => get<JobGraph>(`${path}/graph`))
  const transactions = usePolled(`${path}/transactions`, () => list<Transaction>(`${path}/transactions`))
  const [rates, setRates] = useState<Rates>(NO_RATES)
  const now = Date.now()
  const latency = quantile(it.latency, 0.99)
  useEffect(() => setRates((before) => sampled(before, Date.now(), it)), [it])
  return (
    <>
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
          { name: 'Latency p99', value: latency === null ? '–' : `< ${milliseconds(latency)}`, note: 'log to commit' },
          { name: 'Last recovery', value: it.lastRecoveryMs === null ? '–' : milliseconds(it.lastRecoveryMs) },
          { name: 'Healed', value: it.healedTransactions, note: 'transactions' },
        ].map(({ note, ...figure }) => (note === undefined ? figure : { ...figure, note }))}
      />
      <Shown of={graph}>
        {(all) => (
          <Suspense fallback={<p role="status">Loading…</p>}>
            <Graph graph={all} job={it} />
          </Suspense>
        )}
      </Shown>
      <Rate job={it} rates={rates} />
      <Checkpoints of={checkpoints} path={path} />
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
      <Splits job={it} now={now} />
      <Slices job={it} />
      <Panel title="What happened" note="since this page was opened, newest first">
        <Table
          label="What happened"
          empty="Nothing to speak of."
          columns={[{ head: 'When' }, { head: 'What' }]}
          rows={notices.map((notice, i) => ({
            key: String(notices.length - i),
            cells: [time(notice.at), said(notice)],
          }))}
        />
      </Panel>
    </>
  )
}
