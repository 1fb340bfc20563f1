/** `weir rate`: how fast the sources of a job are read, shown and changed. */
import type { JobsClient } from '@weir/wire'
import { needed, usage } from './usage.ts'

export interface RateOptions {
  readonly jobId: string | undefined
  /** A number, or `none`. */
  readonly rate: string | undefined
  readonly min: string | undefined
  readonly source: string | undefined
}

export async function rate(
  client: Pick<JobsClient, 'adjustRate'>,
  { jobId, rate: wanted, min, source = '' }: RateOptions,
  print: (value: unknown, text: string) => void,
): Promise<number> {
  const most = needed(wanted, 'N or none')
  const rates = await client.adjustRate({
    jobId: needed(jobId, 'JOB-ID'),
    source,
    recordsPerSecond: most === 'none' ? undefined : numberIn(most, 'N'),
    minRecordsPerSecond: min === undefined ? undefined : numberIn(min, '--min'),
  })
  const asked = rates.filter((of) => source === '' || of.source === source)
  print(rates, asked.map(line).join('\n'))
  return 0
}

const line = (of: {
  source: string
  recordsPerSecond?: number | undefined
  minRecordsPerSecond?: number | undefined
}) => {
  if (of.recordsPerSecond === undefined) return `${of.source} is read as fast as it goes`
  const lowered = of.minRecordsPerSecond === undefined ? '' : `, ${of.minRecordsPerSecond} while the job cannot follow`
  return `${of.source} is read with at most ${of.recordsPerSecond} records/s${lowered}`
}

function numberIn(text: string, what: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value
  throw usage(`${what} is "${text}"; give records per second, a number above 0`)
}
