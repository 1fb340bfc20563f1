/** How fast a job reads, how fast it may, and the change of that: of what this page has seen, no history is kept elsewhere. */
import { useEffect, useRef, useState, type ReactNode } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { requestRate } from './api.ts'
import { Ask } from './ask.tsx'
import { Panel } from './parts.tsx'
import { SLIDER_MAX, limitOf, rateAt, rateIn, stepOf, type RateChange, type Rates } from './rates.ts'
import { count, time, type Job } from './view.ts'

const HEIGHT = 170
const CHANGES_SHOWN = 3

const said = (rate: number | null): string => (rate === null ? 'no limit' : `${count(rate)}/s`)
const change = ({ at, from, to }: RateChange): string =>
  `${time(at * 1_000).slice(11)} from ${said(from)} to ${said(to)}`

export function Rate({ job, rates }: { job: Job; rates: Rates }): ReactNode {
  const last = rates.perSecond.findLast((rate) => rate !== null)
  const reasons = [...new Set(job.rates.flatMap(({ reason }) => reason ?? []))]
  const limit = limitOf(job.rates)
  return (
    <Panel title="Throughput" note="records per second since this page was opened">
      <Plot
        rates={rates}
        label={[
          last === undefined ? 'Records per second: none yet' : `Records per second, at present ${count(last)}`,
          `limit: ${said(limit)}`,
          ...rates.changes.map((it) => `changed at ${change(it)}`),
        ].join('; ')}
      />
      <p className="legend quiet">
        <i className="line read" /> read
        <i className="line limit" /> limit: {said(limit)}
        <i className="line lowered" /> lowered by itself{reasons.length > 0 && `: ${reasons.join(', ')}`}
        <i className="line marker" /> limit changed
      </p>
      {rates.changes.length > 0 && (
        <p className="quiet">
          {rates.changes
            .slice(-CHANGES_SHOWN)
            .map((it) => `Changed at ${change(it)}.`)
            .join(' ')}
        </p>
      )}
      <Limit job={job} />
    </Panel>
  )
}

/** The slider says where to, the dialog asks, and takes an exact number too. */
function Limit({ job }: { job: Job }): ReactNode {
  const [step, setStep] = useState<number | null>(null)
  if (job.rates.length === 0) return <p className="empty">No source of this job can be limited.</p>
  const chosen = step ?? stepOf(job.rates[0]!.recordsPerSecond)
  const rate = step === null ? job.rates[0]!.recordsPerSecond : rateAt(step)
  const isRunning = job.state === 'RUNNING'
  return (
    <div className="rate">
      <label>
        Limit of each source
        <input
          type="range"
          min={0}
          max={SLIDER_MAX}
          value={chosen}
          disabled={!isRunning}
          aria-valuetext={rate === null ? 'no limit' : `${count(rate)} records per second`}
          onChange={({ target }) => setStep(Number(target.value))}
        />
      </label>
      <output>{said(rate)}</output>
      <Ask
        wish={{
          label: 'Limit the rate',
          question: `How fast may ${job.jobId} read?`,
          tells: 'It holds for each source, over all its subtasks, at once and without a restart.',
          confirm: 'Limit it',
          disabled: !isRunning,
          field: {
            label: 'Records per second',
            initial: String(rate ?? ''),
            pattern: '[1-9][0-9]{0,8}',
            hint: 'Empty: as fast as it can',
            optional: true,
          },
          run: async (text) => {
            await requestRate(`jobs/${encodeURIComponent(job.jobId)}`, rateIn(text))
            setStep(null)
          },
        }}
      />
    </div>
  )
}

function Plot({ rates, label }: { rates: Rates; label: string }): ReactNode {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const changes = useRef<readonly RateChange[]>([])
  useEffect(() => {
    const at = place.current
    if (at === null) return
    const colour = (name: string) => (): string => getComputedStyle(at).getPropertyValue(name).trim()
    const axis: uPlot.Axis = {
      stroke: colour('--quiet'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { show: false },
      font: '11px system-ui',
    }
    const line = { width: 1.5, points: { show: false } }
    const stepped = uPlot.paths.stepped!({ align: 1 })
    const made = new uPlot(
      {
        width: at.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { show: false },
        scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] } },
        axes: [
          {
            ...axis,
            values: (_, at) => at.map((s) => new Date(s * 1_000).toISOString().slice(11, 19)),
            size: 26,
            space: 90,
          },
          { ...axis, size: 64, values: (_, at) => at.map(count) },
        ],
        series: [
          {},
          { ...line, stroke: colour('--link'), spanGaps: true },
          { ...line, stroke: colour('--busy'), paths: stepped },
          { ...line, stroke: colour('--bad'), dash: [4, 4], paths: stepped },
        ],
        hooks: { draw: [(drawn) => marked(drawn, changes.current, colour('--ink')())] },
      },
      [[], [], [], []],
      at,
    )
    plot.current = made
    const resized = new ResizeObserver(() => made.setSize({ width: at.clientWidth, height: HEIGHT }))
    resized.observe(at)
    return () => {
      resized.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [])
  useEffect(() => {
    changes.current = rates.changes
    plot.current?.setData([[...rates.at], [...rates.perSecond], [...rates.limit], [...rates.lowered]])
  }, [rates])
  return <div ref={place} className="plot" role="img" aria-label={label} />
}

/** A line at each change. */
function marked({ ctx, bbox, valToPos }: uPlot, changes: readonly RateChange[], colour: string): void {
  ctx.save()
  ctx.strokeStyle = colour
  ctx.lineWidth = devicePixelRatio
  ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio])
  for (const { at } of changes) {
    const x = Math.round(valToPos(at, 'x', true))
    if (x < bbox.left || x > bbox.left + bbox.width) continue
    ctx.beginPath()
    ctx.moveTo(x, bbox.top)
    ctx.lineTo(x, bbox.top + bbox.height)
    ctx.stroke()
  }
  ctx.restore()
}
