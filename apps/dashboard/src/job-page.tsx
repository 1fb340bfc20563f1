import type { ReactNode } from 'react'
import { Actions } from './actions.tsx'
import { tagged } from './api.ts'
import { DeadLetters } from './dead-letters.tsx'
import { Overview } from './overview.tsx'
import { JOB_PARTS, jobHash, type JobPart } from './pages.ts'
import { State } from './parts.tsx'
import { Shown, usePolled } from './polled.tsx'
import { StateBrowser } from './state.tsx'
import type { Job } from './view.ts'

const NAMES: Record<JobPart, string> = { overview: 'Overview', state: 'State', 'dead-letters': 'Dead letters' }

export function JobPage({ id, part }: { id: string; part: JobPart }): ReactNode {
  const path = `jobs/${encodeURIComponent(id)}`
  const job = usePolled(path, () => tagged<Job>(path))
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
          </>
        )}
      </Shown>
      <nav aria-label="Of the job" className="tabs">
        {JOB_PARTS.map((name) => (
          <a key={name} href={jobHash(id, name)} aria-current={name === part ? 'page' : undefined}>
            {NAMES[name]}
          </a>
        ))}
      </nav>
      {part === 'overview' && job.data !== undefined && <Overview job={job.data.body} at={job.dataUpdatedAt} />}
      {part === 'state' && <StateBrowser id={id} />}
      {part === 'dead-letters' && <DeadLetters id={id} />}
    </>
  )
}
