import type { ReactNode } from 'react'
import { Panel, Table } from './parts.tsx'
import { bytes, milliseconds, timeline, type Checkpoint } from './view.ts'

/** As many as there is room for. */
const BARS_MAX = 60
const ROWS_MAX = 12
const BAR = 12
const HEIGHT = 72
/** A checkpoint that took no time at all is seen as well. */
const SLIVER = 2

/** The newest on the right; the height is the time from trigger to published. */
export function Checkpoints({ of }: { of: readonly Checkpoint[] }): ReactNode {
  const bars = timeline(of.slice(0, BARS_MAX))
  const slowest = Math.max(0, ...of.slice(0, BARS_MAX).map((c) => c.durationMs ?? 0))
  const failed = bars.filter(({ tone }) => tone === 'bad').length
  return (
    <Panel
      title="Checkpoints"
      note={bars.length === 0 ? undefined : `the last ${bars.length}; slowest ${milliseconds(slowest)}`}
    >
      {bars.length > 0 && (
        <svg
          className="timeline"
          role="img"
          aria-label={`The last ${bars.length} checkpoints, ${failed} of them given up, the slowest took ${milliseconds(slowest)}`}
          viewBox={`0 0 ${BARS_MAX * BAR} ${HEIGHT}`}
        >
          {bars.map(({ epoch, tone, share, label }, at) => {
            const height = share === null ? HEIGHT : Math.max(SLIVER, share * HEIGHT)
            return (
              <rect
                key={epoch}
                className={share === null ? `${tone} running` : tone}
                x={(BARS_MAX - 1 - at) * BAR}
                y={HEIGHT - height}
                width={BAR - 3}
                height={height}
                rx={1.5}
              >
                <title>{`epoch ${epoch}: ${label}`}</title>
              </rect>
            )
          })}
        </svg>
      )}
      <Table
        label="Checkpoints"
        columns={[
          ...[{ head: 'Epoch', number: true }, { head: 'Outcome' }, { head: 'Took' }],
          ...['Aligned', 'Stood still', 'Durable after', 'Size'].map((head) => ({ head, number: true })),
          { head: 'Why' },
        ]}
        empty="None yet."
        rows={of
          .slice(0, ROWS_MAX)
          .map(({ epoch, attempt, status, durationMs, reason, alignMs, syncMs, asyncMs, bytes: size }) => ({
            key: `${attempt}/${epoch}`,
            cells: [
              epoch,
              <span className={timelineTone(status)}>{status}</span>,
              durationMs === null ? '…' : milliseconds(durationMs),
              ...[alignMs, syncMs, asyncMs].map(milliseconds),
              size === null ? '–' : bytes(size),
              reason ?? '',
            ],
          }))}
      />
    </Panel>
  )
}

const timelineTone = (status: Checkpoint['status']): string => (status === 'given-up' ? 'bad' : 'plain')
