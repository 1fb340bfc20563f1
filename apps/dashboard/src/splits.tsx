import type { ReactNode } from 'react'
import { Panel, Table } from './parts.tsx'
import { skewOf, splitsOf, type SkewBar } from './skew.ts'
import { milliseconds, type Job } from './view.ts'

/** Those that are furthest behind first. */
const ROWS_MAX = 40
const WIDTH = 720
const HEIGHT = 72
const WIDEST = 36
/** A partition that is not behind at all is seen as well. */
const SLIVER = 2

export function Splits({ job, now }: { job: Job; now: number }): ReactNode {
  const splits = splitsOf(job, now)
  const bars = skewOf(splits)
  const more = splits.length > ROWS_MAX ? `the ${ROWS_MAX} furthest behind of ${splits.length}` : undefined
  return (
    <Panel title="Event time by partition" {...(more === undefined ? {} : { note: more })}>
      {bars.length > 0 && <Skew bars={bars} />}
      <Table
        label="Event time by partition"
        empty="No source tells event times."
        columns={[
          { head: 'Source' },
          { head: 'Partition', number: true },
          { head: 'Subtask', number: true },
          { head: 'State' },
          { head: 'Event time' },
          { head: 'Behind the fastest', number: true },
        ]}
        rows={splits.slice(0, ROWS_MAX).map(({ source, split, subtask, state, at, behind }) => ({
          key: `${source}/${split}`,
          cells: [
            source,
            split,
            subtask,
            <span className={state === 'active' ? 'plain' : 'quiet'}>{state}</span>,
            at,
            behind,
          ],
        }))}
      />
    </Panel>
  )
}

const named = ({ source, from, to }: SkewBar): string =>
  from === to ? `${source}, partition ${from}` : `${source}, partitions ${from} to ${to}`

/** How far each partition's watermark is behind the highest of its source. */
function Skew({ bars }: { bars: readonly SkewBar[] }): ReactNode {
  const slowest = bars.reduce((most, bar) => (bar.lagMs > most.lagMs ? bar : most))
  const width = Math.min(WIDEST, WIDTH / bars.length)
  return (
    <figure>
      <figcaption>
        Behind the highest watermark of their source: at most {milliseconds(slowest.lagMs)} ({named(slowest)})
      </figcaption>
      <svg
        className="timeline skew"
        role="img"
        aria-label={`Skew by partition, at most ${milliseconds(slowest.lagMs)}: ${named(slowest)}`}
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
      >
        {bars.map((bar, at) => {
          const height = Math.max(SLIVER, bar.share * HEIGHT)
          return (
            <rect
              key={`${bar.source}/${bar.from}`}
              className={bar.isWaitedFor ? 'waited' : 'quiet'}
              x={at * width}
              y={HEIGHT - height}
              width={width * 0.8}
              height={height}
            >
              <title>{`${named(bar)}: ${milliseconds(bar.lagMs)} behind${bar.isWaitedFor ? '' : ', not waited for'}`}</title>
            </rect>
          )
        })}
      </svg>
    </figure>
  )
}
