/** What is seen from outside of a contender: what the broker shows readers of its output, and what the kernel counts of its processes. */
import { readFileSync } from 'node:fs'
import type { KafkaConnections } from '@weir/kafka'
import { systemClock } from '@weir/runtime/system'
import { listOffsets } from '../../../libs/kafka/src/wire/apis.ts'
import type { Run } from './bench.ts'

const LOOK_MS = 20
/** A look asks for each partition: more of them are looked at less often. */
const PARTITIONS_AT_ONCE = 16
/** What a commit shows partition by partition is one commit. */
const ONE_COMMIT_MS = 300
/** Everything is visible and nothing is open for so long: it is done. */
const DONE_MS = 700
const TICKS_PER_SECOND = 100

interface Commit {
  /** performance.now() */
  readonly at: number
  /** Offsets that readers with read_committed have come to, over all partitions: outputs, and a marker per commit. */
  readonly visible: number
}
export interface Watched {
  readonly firstAt: number
  /** The first and the last one. */
  readonly begin: Commit
  readonly end: Commit
  readonly commits: number
  /** While outputs went from a quarter to 95 % of all, committed or not: null when that was too quick to be seen. */
  readonly cpuSecondsPerOutput: number | null
  readonly peakMiB: number
}
/** What starts and what is still compiled is over; the last commit is not yet waited for. */
const STEADY = [0.25, 0.95] as const

/** Resolves when all outputs are visible and no transaction is open. */
export async function watch(
  { kafka, output: topic, shape, signal }: Pick<Run, 'kafka' | 'output' | 'shape' | 'signal'>,
  outputs: number,
  pids: () => readonly number[],
): Promise<Watched> {
  // The brokers may tell of a new topic one after the other.
  for (let known = false; !known; signal.throwIfAborted()) {
    known = await kafka.partitions(topic).then(
      () => true,
      () => false,
    )
    if (!known) await systemClock.sleep(LOOK_MS)
  }
  const { partitions } = shape
  const lookMs = LOOK_MS * Math.ceil(partitions / PARTITIONS_AT_ONCE)
  const look = (committed: boolean): Promise<number> => ends(kafka, { topic, partitions, committed }, signal)
  const seen: Commit[] = []
  const steady: { written: number; cpu: number }[] = []
  let peak = 0
  let doneSince: number | null = null
  for (;;) {
    signal.throwIfAborted()
    const [visible, written] = await Promise.all([look(true), look(false)])
    const at = performance.now()
    if (written >= outputs * STEADY[Math.min(steady.length, 1)]! && steady.length < 2)
      steady.push({ written, cpu: cpuSeconds(pids()) })
    peak = Math.max(peak, peakMiB(pids()))
    if (visible > (seen.at(-1)?.visible ?? 0)) seen.push({ at, visible })
    if (visible < outputs || visible < written || at === seen.at(-1)!.at) doneSince = null
    else {
      doneSince ??= at
      if (at - doneSince > DONE_MS) break
    }
    await systemClock.sleep(lookMs)
  }
  const commits = seen.filter(({ at }, i) => i === seen.length - 1 || seen[i + 1]!.at - at > ONE_COMMIT_MS)
  const [from, to] = steady
  const isSeen = to !== undefined && to.cpu > from!.cpu && to.written > from!.written
  return {
    firstAt: seen[0]!.at,
    begin: commits[0]!,
    end: commits.at(-1)!,
    commits: commits.length,
    cpuSecondsPerOutput: isSeen ? (to.cpu - from!.cpu) / (to.written - from!.written) : null,
    peakMiB: peak,
  }
}

interface Look {
  readonly topic: string
  readonly partitions: number
  readonly committed: boolean
}
async function ends(
  kafka: KafkaConnections,
  { topic, partitions, committed }: Look,
  signal: AbortSignal,
): Promise<number> {
  const offsets = Array.from({ length: partitions }, async (_, partition) => {
    const api = listOffsets(topic, partition, -1n, committed)
    return Number((await kafka.toLeader(topic, partition, api, signal)).offset)
  })
  return (await Promise.all(offsets)).reduce((a, b) => a + b, 0)
}

/** User and system time of all threads of all processes; those that are gone count nothing. */
function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0
  for (const pid of pids) {
    const stat = text(`/proc/${pid}/stat`)
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
  }
  return ticks / TICKS_PER_SECOND
}

function peakMiB(pids: readonly number[]): number {
  let kib = 0
  for (const pid of pids) kib += Number(/VmHWM:\s+(\d+)/.exec(text(`/proc/${pid}/status`))?.[1] ?? 0)
  return kib / 1_024
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
