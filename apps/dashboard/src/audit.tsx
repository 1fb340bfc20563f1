/** Who has changed what, by this job-manager. */
import type { ReactNode } from 'react'
import { listed } from './api.ts'
import { Paged } from './paged.tsx'
import { Table } from './parts.tsx'
import { time } from './view.ts'

interface Change {
  readonly id: string
  readonly at: number
  readonly step: 'asked' | 'done' | 'refused' | 'denied'
  readonly who: { readonly name: string; readonly role: string | null; readonly from: string }
  readonly what: string
  readonly target: string
  readonly wish?: object
  readonly error?: { readonly code: string; readonly message: string }
}
const TONES = { asked: 'quiet', done: 'good', refused: 'bad', denied: 'bad' } as const

export const Audit = (): ReactNode => (
  <Paged name="audit" ask={(next) => listed<Change>(next ?? 'audit?limit=100')}>
    {(changes) => (
      <Table
        label="Audit"
        empty="Nothing has been changed."
        columns={[
          { head: 'When' },
          { head: 'Who' },
          { head: 'What' },
          { head: 'Of' },
          { head: 'Step' },
          { head: 'Said' },
        ]}
        rows={changes.map(({ id, at, step, who, what, target, wish, error }) => ({
          key: `${id} ${step}`,
          cells: [
            time(at),
            <>
              {who.name}
              <small> {[who.role, who.from].filter((part) => part !== null).join(', ')}</small>
            </>,
            what,
            <span className="long">{target}</span>,
            <span className={TONES[step]}>{step}</span>,
            error ? `${error.code}: ${error.message}` : wish ? <code>{JSON.stringify(wish)}</code> : '–',
          ],
        }))}
      />
    )}
  </Paged>
)
