import { useQuery, type UseQueryResult } from '@tanstack/react-query'
import { useEffect, useRef, useState, type ReactNode } from 'react'
import { get, list } from './api.ts'
import { Cancel } from './cancel.tsx'
import { ThemeToggle } from './theme.tsx'
import {
  ledger,
  pollAfter,
  timeline,
  toneOf,
  type Checkpoint,
  type Job,
  type TaskManager,
  type Transaction,
} from './view.ts'

/** Asks again and again; not while the page is hidden, and less often while there is no answer. */
function usePolled<T>(key: string, ask: () => Promise<T>): UseQueryResult<T> {
  const failures = useRef(0)
  return useQuery({
    queryKey: [key],
    queryFn: async () => {
      try {
        const answer = await ask()
        failures.current = 0
        return answer
      } catch (error) {
        failures.current++
        throw error
      }
    },
    refetchInterval: () => pollAfter(failures.current),
  })
}

function useHash(): string {
  const [hash, setHash] = useState(location.hash)
  useEffect(() => {
    const change = (): void => setHash(location.hash)
    addEventListener('hashchange', change)
    return () => removeEventListener('hashchange', change)
  }, [])
  return hash
}

/** Old figures stay visible beside the error, and are called old. */
function Shown<T>({ of, children }: { of: UseQueryResult<T>; children: (data: T) => ReactNode }): ReactNode {
  return (
    <>
      {of.error && (
        <p role="alert">
          {of.error.message} {of.data !== undefined && 'What is shown is from before.'}
        </p>
      )}
      {of.data !== undefined ? children(of.data) : !of.error && <p role="status">Loading…</p>}
    </>
  )
}

const State = ({ job }: { job: Job }): ReactNode => (
  <span className={`state ${toneOf(job)}`}>{job.degraded ? `${job.state}, degraded` : job.state}</span>
)

function Table({
  label,
  heads,
  rows,
}: {
  label: string
  heads: string[]
  rows: readonly { key: string; cells: ReactNode[] }[]
}): ReactNode {
  if (rows.length === 0) return <p className="empty">None.</p>
  return (
    <table aria-label={label}>
      <thead>
        <tr>
          {heads.map((head) => (
            <th key={head} scope="col">
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ key, cells }) => (
          <tr key={key}>
            {cells.map((cell, at) => (
              <td key={heads[at]}>{cell}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Jobs(): ReactNode {
  const jobs = usePolled('jobs', () => list<Job>('jobs'))
  return (
    <Shown of={jobs}>
      {(all) => (
        <Table
          label="Jobs"
          heads={['Job', 'State', 'Parallelism', 'Final epoch', 'Restarts', 'Records in']}
          rows={all.map((job) => ({
            key: job.jobId,
            cells: [
              <a href={`#/jobs/${encodeURIComponent(job.jobId)}`}>{job.jobId}</a>,
              <State job={job} />,
              job.parallelism,
              job.finalEpoch,
              job.restarts,
              job.recordsIn.toLocaleString('en'),
            ],
          }))}
        />
      )}
    </Shown>
  )
}

function JobPage({ id }: { id: string }): ReactNode {
  const path = `jobs/${encodeURIComponent(id)}`
  const job = usePolled(path, () => get<Job>(path))
  const checkpoints = usePolled(`${path}/checkpoints`, () => list<Checkpoint>(`${path}/checkpoints`))
  const transactions = usePolled(`${path}/transactions`, () => list<Transaction>(`${path}/transactions`))
  return (
    <>
      <h1>{id}</h1>
      <Shown of={job}>
        {(it) => (
          <>
            <p>
              <State job={it} /> attempt {it.attempt}, parallelism {it.parallelism}, {it.healedTransactions} healed{' '}
              <Cancel job={it} />
            </p>
            {it.alerts.map(({ code, message }) => (
              <p key={code} role="alert">
                {code}: {message}
              </p>
            ))}
          </>
        )}
      </Shown>
      <h2>Ledger</h2>
      <Shown of={transactions}>
        {(all) => (
          <Table
            label="Ledger"
            heads={['State', 'Transactions']}
            rows={Object.entries(ledger(all)).map(([state, count]) => ({ key: state, cells: [state, count] }))}
          />
        )}
      </Shown>
      <h2>Checkpoints</h2>
      <Shown of={checkpoints}>
        {(all) => (
          <Table
            label="Checkpoints"
            heads={['Epoch', 'Duration', 'Outcome']}
            rows={timeline(all).map(({ epoch, tone, share, label }) => ({
              key: String(epoch),
              cells: [epoch, share === null ? '…' : <meter className={tone} aria-label={label} value={share} />, label],
            }))}
          />
        )}
      </Shown>
    </>
  )
}

function Fleet(): ReactNode {
  const fleet = usePolled('task-managers', () => get<readonly TaskManager[]>('task-managers'))
  return (
    <Shown of={fleet}>
      {(all) => (
        <Table
          label="Task-managers"
          heads={['Pod', 'Address', 'Version', 'Draining']}
          rows={all.map((it) => ({
            key: it.pod,
            cells: [it.pod, it.httpAddress, it.version, it.draining ? 'yes' : 'no'],
          }))}
        />
      )}
    </Shown>
  )
}

export function App(): ReactNode {
  const hash = useHash()
  const job = /^#\/jobs\/(.+)$/.exec(hash)?.[1]
  return (
    <>
      <nav aria-label="Main">
        <strong>Weir</strong> <a href="#/">Jobs</a> <a href="#/task-managers">Task-managers</a>
        <ThemeToggle />
      </nav>
      <main>
        {job !== undefined ? (
          <JobPage key={job} id={decodeURIComponent(job)} />
        ) : hash === '#/task-managers' ? (
          <>
            <h1>Task-managers</h1>
            <Fleet />
          </>
        ) : (
          <>
            <h1>Jobs</h1>
            <Jobs />
          </>
        )}
      </main>
    </>
  )
}
