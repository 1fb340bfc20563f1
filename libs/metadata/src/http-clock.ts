/** The clock of a server by the Date of any answer it gives by HTTP. */
import type { ClockFacts } from '@weir/dataflow'
import { WeirError, type Clock } from '@weir/model'

/** A Date says the second; servers that make it once a second may say the one before. */
const DATE_MS = 2_000

/** Throws what `fetch` throws, and `CLOCK_NOT_TOLD` (invalid). */
export async function httpClock(
  url: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<Pick<ClockFacts, 'offsetMs' | 'uncertaintyMs'>> {
  const from = clock.now()
  const answer = await fetch(url, { method: 'HEAD', signal })
  const half = (clock.now() - from) / 2
  const second = Date.parse(answer.headers.get('date') ?? '')
  if (Number.isNaN(second)) {
    throw new WeirError({ code: 'CLOCK_NOT_TOLD', kind: 'invalid', url }, `${url} does not say what time it is`)
  }
  return { offsetMs: second + DATE_MS / 2 - (from + half), uncertaintyMs: DATE_MS / 2 + half }
}
