import { useState, type ReactNode } from 'react'
import { Panel, Table } from './parts.tsx'
import { Tasks } from './tasks.tsx'
import { bytes, milliseconds, timeline, type Checkpoint } from './view.ts'

/** As many as there is room for. */
const BARS_MAX = 60
const ROWS_MAX = 12
const BAR = 12
const HEIGHT = 72
/** A checkpoint that took no time at all is seen as well. */
const SLIVER = 2

/** The newest on the right; the height is the time from trigger to published. @param path of the job */
export function Checkpoints({ of, path }: { of: readonly Checkpoint[]; path: string }): ReactNode {
  const shown = of.slice(0, BARS_MAX)
  const bars = timeline(shown)
  const slowest = shown.reduce((most, { durationMs }) => Math.max(most, durationMs ?? 0), 0)
  const failed = bars.filter(({ tone }) => tone === 'bad').length
  const [asked, setAsked] = useState<number | null>(null)
  const newest = shown.find(({ status }) => status !== 'in-progress') ?? shown[0]
  const chosen = shown.find(({ epoch }) => epoch === asked) ?? newest
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
            const marks = [tone, share === null ? 'running' : '', epoch === chosen?.epoch ? 'chosen' : '']
            return (
              <rect
                key={epoch}
                className={marks.join(' ')}
                x={(BARS_MAX - 1 - at) * BAR}
                y={HEIGHT - height}
                width={BAR - 3}
                height={height}
                rx={1.5}
                onClick={() => setAsked(epoch)}
              >
                <title>{`epoch ${epoch}: ${label}`}</title>
              </rect>
            )
          })}
        </svg>
      )}
      {chosen && (
        <>
          <Steps shown={shown} chosen={chosen} isNewest={asked === null} choose={setAsked} />
          <Tasks path={path} of={chosen} />
        </>
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

/** The bars are for the mouse; this is the same for the keyboard. */
function Steps({
  shown,
  chosen,
  isNewest,
  choose,
}: {
  shown: readonly Checkpoint[]
  chosen: Checkpoint
  isNewest: boolean
  choose: (epoch: number | null) => void
}): ReactNode {
  const at = shown.indexOf(chosen)
  const step = (to: number): (() => void) => {
    return () => choose(shown[to]?.epoch ?? chosen.epoch)
  }
  return (
    <p className="actions">
      <button type="button" disabled={at === shown.length - 1} onClick={step(at + 1)}>
        Earlier epoch
      </button>
      <button type="button" disabled={at === 0} onClick={step(at - 1)}>
        Later epoch
      </button>
      <button type="button" aria-pressed={isNewest} onClick={() => choose(isNewest ? chosen.epoch : null)}>
        Follow the newest
      </button>
    </p>
  )
}

const timelineTone = (status: Checkpoint['status']): string => (status === 'given-up' ? 'bad' : 'plain')
