/** What every page is made of. */
import type { ReactNode } from 'react'
import { toneOf, type Job } from './view.ts'

export const State = ({ job }: { job: Pick<Job, 'state' | 'degraded'> }): ReactNode => (
  <span className={`state ${toneOf(job)}`}>{job.degraded ? `${job.state}, degraded` : job.state}</span>
)

/** A part of a page, with its name. */
export const Panel = ({ title, note, children }: { title: string; note?: string; children: ReactNode }): ReactNode => (
  <section className="panel" aria-label={title}>
    <h2>
      {title}
      {note !== undefined && <small>{note}</small>}
    </h2>
    {children}
  </section>
)

export interface Figure {
  readonly name: string
  readonly value: ReactNode
  /** What it is of. */
  readonly note?: string
}
export const Figures = ({ of }: { of: readonly Figure[] }): ReactNode => (
  <dl className="figures">
    {of.map(({ name, value, note }) => (
      <div key={name}>
        <dt>{name}</dt>
        <dd>
          {value}
          {note !== undefined && <small>{note}</small>}
        </dd>
      </div>
    ))}
  </dl>
)

export interface Column {
  readonly head: string
  /** Figures stand to the right. */
  readonly number?: boolean
}
export function Table({
  label,
  columns,
  rows,
  empty = 'None.',
}: {
  label: string
  columns: readonly Column[]
  rows: readonly { readonly key: string; readonly cells: readonly ReactNode[] }[]
  empty?: string
}): ReactNode {
  if (rows.length === 0) return <p className="empty">{empty}</p>
  return (
    <table aria-label={label}>
      <thead>
        <tr>
          {columns.map(({ head, number }) => (
            <th key={head} scope="col" className={number ? 'number' : undefined}>
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ key, cells }) => (
          <tr key={key}>
            {cells.map((cell, at) => (
              <td key={columns[at]?.head} className={columns[at]?.number ? 'number' : undefined}>
                {cell}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}
