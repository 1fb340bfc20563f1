import type { ReactNode } from 'react'
import { Actions } from './actions.tsx'
import { DeadLetters } from './dead-letters.tsx'
import { oneJob } from './live.ts'
import { Overview } from './overview.tsx'
import { JOB_PARTS, jobHash, type JobPart } from './pages.ts'
import { State } from './parts.tsx'
import { Shown } from './polled.tsx'
import { StateBrowser } from './state.tsx'
import { useLive } from './use-live.tsx'

const NAMES: Record<JobPart, string> = { overview: 'Overview', state: 'State', 'dead-letters': 'Dead letters' }

export function JobPage({ id, part }: { id: string; part: JobPart }): ReactNode {
  const path = `jobs/${encodeURIComponent(id)}`
  const live = useLive(`${path}/events`, oneJob)
  return (
    <>
      <Shown of={live}>
        {({ job: it }) => (
          <>
            <header>
              <h1>{id}</h1>
              <State job={it} />
              <Actions job={it} />
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
      {part === 'overview' && live.data !== undefined && <Overview of={live.data} />}
      {part === 'state' && <StateBrowser id={id} />}
      {part === 'dead-letters' && <DeadLetters id={id} />}
    </>
  )
}
