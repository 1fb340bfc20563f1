/** A table of which only the rows in sight are made: a job may have thousands of subtasks. Scrolled by keyboard too. */
import { useVirtualizer } from '@tanstack/react-virtual'
import { useRef, type ReactNode } from 'react'

const ROW = 28

export interface VirtualRow {
  readonly key: string
  /** As many as heads. */
  readonly cells: readonly ReactNode[]
}

export function VirtualTable({
  label,
  heads,
  count,
  row,
  className,
}: {
  label: string
  heads: readonly string[]
  count: number
  row: (index: number) => VirtualRow
  className: string
}): ReactNode {
  const frame = useRef<HTMLDivElement>(null)
  const rows = useVirtualizer({ count, getScrollElement: () => frame.current, estimateSize: () => ROW, overscan: 8 })
  return (
    <div
      ref={frame}
      className={`virtual ${className}`}
      role="table"
      aria-label={label}
      aria-rowcount={count + 1}
      tabIndex={0}
    >
      <div role="rowgroup" className="heads">
        <div role="row">
          {heads.map((head) => (
            <span key={head} role="columnheader">
              {head}
            </span>
          ))}
        </div>
      </div>
      <div role="rowgroup" className="rows" style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map(({ index, start }) => {
          const { key, cells } = row(index)
          return (
            <div key={key} role="row" aria-rowindex={index + 2} style={{ transform: `translateY(${start}px)` }}>
              {cells.map((cell, at) => (
                <span key={heads[at]} role="cell">
                  {cell}
                </span>
              ))}
            </div>
          )
        })}
      </div>
    </div>
  )
}
