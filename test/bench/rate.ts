/**
 * `npm run bench -- rate`: what a step of the load does to a source whose rate adapts, beside one with a fixed bucket in the same run, and
 * how soon a cancel reaches a source that is blocked. No servers.
 *
 * The step: what lies behind takes twice the limit, and then 0.6 of it. Told is the coefficient of variation (deviation by mean) of the
 * records read per second, over the seconds from 10 to 60 behind the step.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { atMost, figure, median, say, type Figure } from './lib/figures.ts'
import { BLOCKED_BY, type BlockedBy } from './rate/blocked.ts'
import { startSlice } from './rate/slice.ts'

const LIMIT = 5_000
const CALM_SECONDS = 5
const SECONDS = { from: 10, to: 60 }
const CANCELS = 200
const VARIATION_PERCENT_MAX = 2.3
const CANCEL_MS_MAX = 18
const figures: Figure[] = []
const tell = (of: Figure, unit: string): void => {
  figures.push(of)
  say(
    `${of.name.padEnd(62)} ${of.value} ${unit}${of.goal === null ? '' : ` (goal ${of.goal}${of.holds ? '' : ', missed'})`}`,
  )
}

// ---- a step of the load ---------------------------------------------------------------------------------------------

const adaptive = { recordsPerSecond: LIMIT, minRecordsPerSecond: LIMIT / 10 }
const fixed = { recordsPerSecond: LIMIT, minRecordsPerSecond: null }
let capacity = LIMIT * 2
let steppedAt = Number.POSITIVE_INFINITY
const runs = await Promise.all(
  [false, true].flatMap((isExchanged) =>
    Object.entries({ adaptive, fixed }).map(async ([name, rates]) => {
      const perSecond: number[] = Array.from({ length: SECONDS.to }, () => 0)
      const read = (records: number): void => {
        const second = Math.floor((performance.now() - steppedAt) / 1_000)
        if (second >= 0 && second < SECONDS.to) perSecond[second]! += records
      }
      const slice = await startSlice({ rates, isExchanged, sinkPerSecond: () => capacity, read })
      return {
        name: `${name}, ${isExchanged ? 'exchange' : 'chain'}`,
        isAdaptive: rates === adaptive,
        perSecond,
        slice,
      }
    }),
  ),
)
await sleep(CALM_SECONDS * 1_000)
capacity = LIMIT * 0.6
steppedAt = performance.now()
await sleep(SECONDS.to * 1_000 + 500)
for (const { name, isAdaptive, perSecond, slice } of runs) {
  await slice.stop('abort')
  const seconds = perSecond.slice(SECONDS.from)
  const mean = seconds.reduce((sum, n) => sum + n, 0) / seconds.length
  const deviation = Math.sqrt(seconds.reduce((sum, n) => sum + (n - mean) ** 2, 0) / seconds.length)
  const percent = (deviation / mean) * 100
  const what = `${name}: coefficient of variation`
  tell(isAdaptive ? atMost(what, percent, VARIATION_PERCENT_MAX) : figure(what, percent), '%')
  tell(figure(`${name}: mean, of what lies behind takes`, (mean / capacity) * 100), '%')
}

// ---- a cancel -------------------------------------------------------------------------------------------------------

async function cancelled(by: BlockedBy): Promise<number[]> {
  const worker = new Worker(new URL('./rate/blocked.ts', import.meta.url))
  const next = <T>(): Promise<T> =>
    new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
  const tookMs: number[] = []
  for (let i = 0; i < CANCELS; i++) {
    worker.postMessage({ by })
    await next<'blocked'>()
    const toldAt = performance.timeOrigin + performance.now()
    worker.postMessage('stop')
    const { reachedAt } = await next<{ reachedAt: number }>()
    tookMs.push(reachedAt - toldAt)
    worker.removeAllListeners('error')
  }
  await worker.terminate()
  return tookMs.toSorted((a, b) => a - b)
}

for (const by of BLOCKED_BY) {
  const tookMs = await cancelled(by)
  tell(figure(`cancel of a source blocked by ${by}: p50`, median(tookMs)), 'ms')
  tell(
    atMost(`cancel of a source blocked by ${by}: p99`, tookMs[Math.ceil(tookMs.length * 0.99) - 1]!, CANCEL_MS_MAX),
    'ms',
  )
}
console.log(JSON.stringify({ bench: 'rate', figures }))
process.exit(0)
