/** Records per second, of what this page has seen: no history is kept elsewhere. */
import { useEffect, useRef, type ReactNode } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { Panel } from './parts.tsx'
import { count, type Rates } from './view.ts'

const HEIGHT = 150

export function Throughput({ rates }: { rates: Rates }): ReactNode {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
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
            values: (_, at) => at.map((s) => new Date(s * 1_000).toLocaleTimeString('en-GB')),
            size: 26,
            space: 90,
          },
          { ...axis, size: 64, values: (_, at) => at.map(count) },
        ],
        series: [{}, { stroke: colour('--link'), width: 1.5, points: { show: false } }],
      },
      [[], []],
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
  useEffect(() => plot.current?.setData([[...rates.at], [...rates.perSecond]]), [rates])
  const last = rates.perSecond.at(-1)
  return (
    <Panel title="Throughput" note="records read per second since this page was opened">
      <div
        ref={place}
        className="plot"
        role="img"
        aria-label={
          last === undefined ? 'Records per second: none yet' : `Records per second, at present ${count(last)}`
        }
      />
    </Panel>
  )
}
