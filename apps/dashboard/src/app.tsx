import { useEffect, useState, type MouseEvent, type ReactNode } from 'react'
import { Audit } from './audit.tsx'
import { allJobs } from './live.ts'
import { JobPage } from './job-page.tsx'
import { jobHash, placeOf } from './pages.ts'
import { State, Table } from './parts.tsx'
import { Shown } from './polled.tsx'
import { SignedIn } from './sign-in.tsx'
import { ThemeToggle } from './theme.tsx'
import { useLive } from './use-live.tsx'
import { count } from './view.ts'

function useHash(): string {
  const [hash, setHash] = useState(location.hash)
  useEffect(() => {
    const change = (): void => setHash(location.hash)
    addEventListener('hashchange', change)
    return () => removeEventListener('hashchange', change)
  }, [])
  return hash
}

function Jobs(): ReactNode {
  const live = useLive('events', allJobs)
  return (
    <Shown of={live}>
      {({ jobs }) => (
        <Table
          label="Jobs"
          empty="No job has been submitted: weir submit FILE."
          columns={[
            { head: 'Job' },
            { head: 'State' },
            { head: 'Records in', number: true },
            { head: 'Final epoch', number: true },
            { head: 'Parallelism', number: true },
            { head: 'Restarts', number: true },
            { head: 'Alerts', number: true },
          ]}
          rows={jobs.map((job) => ({
            key: job.jobId,
            cells: [
              <a href={jobHash(job.jobId)}>{job.jobId}</a>,
              <State job={job} />,
              count(job.recordsIn),
              job.finalEpoch,
              job.parallelism,
              job.restarts,
              <span className={job.alerts.length > 0 ? 'bad' : 'quiet'}>{job.alerts.length}</span>,
            ],
          }))}
        />
      )}
    </Shown>
  )
}

function Fleet(): ReactNode {
  const live = useLive('events', allJobs)
  return (
    <Shown of={live}>
      {({ taskManagers }) => (
        <Table
          label="Task-managers"
          empty="None has joined: jobs wait for slots."
          columns={[{ head: 'Pod' }, { head: 'Address' }, { head: 'Version' }, { head: 'Draining' }]}
          rows={taskManagers.map((it) => ({
            key: it.pod,
            cells: [it.pod, it.httpAddress, it.version, it.draining ? 'yes' : 'no'],
          }))}
        />
      )}
    </Shown>
  )
}

const PAGES = [
  { hash: '#/', place: 'jobs', name: 'Jobs', page: Jobs },
  { hash: '#/task-managers', place: 'task-managers', name: 'Task-managers', page: Fleet },
  { hash: '#/audit', place: 'audit', name: 'Audit', page: Audit },
] as const

/** The hash names the page: it must not change. */
function toMain(event: MouseEvent<HTMLAnchorElement>): void {
  event.preventDefault()
  document.getElementById('main')?.focus()
}

export function App(): ReactNode {
  const place = placeOf(useHash())
  const { name, page: Page } = PAGES.find((page) => page.place === place.page) ?? PAGES[0]
  return (
    <>
      <a className="skip" href="#main" onClick={toMain}>
        Skip to the page
      </a>
      <nav aria-label="Main">
        <a className="mark" href="#/">
          <svg viewBox="0 0 20 16" aria-hidden="true">
            <path d="M1 3h11c2 0 2 5 4 5h3M1 8h8c2 0 2 5 4 5h6" />
          </svg>
          Weir
        </a>
        {PAGES.map((page) => (
          <a key={page.hash} href={page.hash} aria-current={page.place === place.page ? 'page' : undefined}>
            {page.name}
          </a>
        ))}
        <ThemeToggle />
      </nav>
      <main id="main" tabIndex={-1}>
        <SignedIn>
          {place.page === 'job' ? (
            <JobPage key={place.id} id={place.id} part={place.part} />
          ) : (
            <>
              <header>
                <h1>{name}</h1>
              </header>
              <Page />
            </>
          )}
        </SignedIn>
      </main>
    </>
  )
}
