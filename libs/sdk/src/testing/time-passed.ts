/**
 * `advanceWatermark` without a word to the engine: a value that a source reads and takes the time of like any other, and that a
 * filter right behind the source drops. It lies in the topic, so a restart comes by it again.
 */
import type { CustomWatermarks, Decode, FilterNode, GraphNode, JobDefinition, SourceNode } from '@weir/dataflow'
import { operatorUid } from '@weir/model'

export class TimePassed {
  readonly timeMs: number

  constructor(timeMs: number) {
    this.timeMs = timeMs
  }
}

/** No text, and no record anybody would feed. */
const MARK = Buffer.from('c0ff00ee77656972ff00c0', 'hex')

export function markOf(timeMs: number): Uint8Array {
  const bytes = Buffer.concat([MARK, Buffer.alloc(8)])
  bytes.writeDoubleBE(timeMs, MARK.length)
  return bytes
}

function timePassedIn(buffer: Buffer, start: number, end: number): TimePassed | null {
  if (end - start !== MARK.length + 8 || MARK.compare(buffer, start, start + MARK.length) !== 0) return null
  return new TimePassed(buffer.readDoubleBE(start + MARK.length))
}

/** The job with its sources made to understand `TimePassed`; nothing else about it is different. */
export function withTimePassed(job: JobDefinition): JobDefinition {
  const { nodes, edges } = job.graph
  const placed: GraphNode[] = []
  /** Where a node has come to stand, and whom its edges leave from. */
  const at = nodes.map((node, i) => {
    const to = placed.push(node.kind === 'source' ? understanding(node) : node) - 1
    if (node.kind !== 'source') return { to, from: to }
    return { to, from: placed.push(dropping(i)) - 1 }
  })
  const behind = at.filter(({ to, from }) => to !== from).map(({ to, from }) => [to, from] as const)
  const moved = edges.map(([from, to]) => [at[from]!.from, at[to]!.to] as const)
  return { ...job, graph: { nodes: placed, edges: [...behind, ...moved] } }
}

function understanding(node: SourceNode): SourceNode {
  const { decode, openDecoder, timestamp, outOfOrderMs, watermarks } = node
  return {
    ...node,
    // A test waits for nothing: neither for a rate nor for a slow partition.
    recordsPerSecond: null,
    alignWithinMs: null,
    alignGroup: null,
    watermarks: watermarks && passing(watermarks),
    decode: decode && passingBy(decode),
    openDecoder:
      openDecoder &&
      (async (context) => {
        const opened = await openDecoder(context)
        return { decode: passingBy(opened.decode), prepare: (records) => opened.prepare(records) }
      }),
    timestamp: timestamp && ((value) => (value instanceof TimePassed ? value.timeMs + outOfOrderMs : timestamp(value))),
  }
}

const passingBy =
  (decode: Decode): Decode =>
  (buffer, start, end, headers) =>
    timePassedIn(buffer, start, end) ?? decode(buffer, start, end, headers)

/** The job's own fold, which has not seen that time has passed. */
function passing({
  initial,
  onEvent,
  watermark,
}: CustomWatermarks<unknown, unknown>): CustomWatermarks<unknown, unknown> {
  interface State {
    readonly own: unknown
    readonly passedMs: number
  }
  const first: State = { own: initial, passedMs: Number.MIN_SAFE_INTEGER }
  return {
    initial: first,
    onEvent(state, value, timestamp) {
      const { own, passedMs } = state as State
      if (value instanceof TimePassed) return { own, passedMs: value.timeMs }
      const next = onEvent(own, value, timestamp)
      // What it must not return is the engine's to refuse.
      return next === undefined || next instanceof Promise ? next : { own: next, passedMs }
    },
    watermark(state) {
      const { own, passedMs } = state as State
      const reached = watermark(own)
      if (passedMs < 0 || (reached !== null && reached >= passedMs)) return reached
      return passedMs
    },
  }
}

const dropping = (index: number): FilterNode => ({
  kind: 'filter',
  uid: operatorUid(`testing.time-passed-${index}`),
  test: (value) => !(value instanceof TimePassed),
})
