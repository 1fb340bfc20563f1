/** What an asyncMap and its job must be: bounds that can be kept, and a place where order does not depend on its calls. */
import { WeirError } from '@weir/model'
import type { AsyncMapNode, GraphNode, JobDefinition } from './graph.ts'
import { DURATION_MS_MAX } from './settings.ts'

/** Calls that are open at once: each is a promise, a timer and what the call itself holds. */
export const CALLS_MAX = 100_000
const RETRIES_MAX = 100

export function checkAsyncMap(node: AsyncMapNode, invalid: (text: string) => WeirError): void {
  const whole = (name: string, value: number, min: number, max: number): void => {
    if (Number.isInteger(value) && value >= min && value <= max) return
    throw invalid(`${name} is ${value}; it must be a whole number from ${min} to ${max}.`)
  }
  whole('capacity', node.capacity, 1, CALLS_MAX)
  whole('timeout', node.timeoutMs, 1, DURATION_MS_MAX)
  whole('retries', node.retries, 0, RETRIES_MAX)
  whole('backoff', node.backoffMs, 0, DURATION_MS_MAX)
  whole('the longest backoff', node.backoffMsMax, node.backoffMs, DURATION_MS_MAX)
  if (!['ordered', 'unordered'].includes(node.mode)) {
    throw invalid(`mode is ${JSON.stringify(node.mode)}; it is "ordered" or "unordered".`)
  }
  if (!['dead-letter', 'restart'].includes(node.onFailure)) {
    throw invalid(`onFailure is ${JSON.stringify(node.onFailure)}; it is "dead-letter" or "restart".`)
  }
}

/** The longest a call can take, with all its tries. A barrier waits for it. */
function longestCallMs({ timeoutMs, retries, backoffMs, backoffMsMax }: AsyncMapNode): number {
  let ms = timeoutMs
  for (let i = 0; i < retries; i++) ms += timeoutMs + Math.min(backoffMs * 2 ** i, backoffMsMax)
  return ms
}

/** Throws WeirError `CALLS_TOO_LONG` (invalid). */
export function checkCallsFit({ settings, graph }: JobDefinition): void {
  const { alignTimeoutMs } = settings.checkpoint
  for (const node of graph.nodes) {
    if (node.kind !== 'asyncMap' || longestCallMs(node) <= alignTimeoutMs) continue
    const { uid } = node
    throw new WeirError(
      { code: 'CALLS_TOO_LONG', kind: 'invalid', uid, longestCallMs: longestCallMs(node), alignTimeoutMs },
      `a call of asyncMap "${uid}" may take ${longestCallMs(node)} ms with all its tries, and a barrier waits for it: no checkpoint would ` +
        `be complete within checkpoint.alignTimeoutMs (${alignTimeoutMs}). Lower timeout or retries, or raise it.`,
    )
  }
}

/** Throws WeirError `GRAPH_KEYED_BY_SOURCE` (invalid). `inStage`: the nodes of one stage. */
export function checkCallsPerSplit(inStage: readonly GraphNode[]): void {
  const calling = inStage.find(({ kind }) => kind === 'asyncMap' || kind === 'idempotent')
  const perSplit = inStage.find(({ kind }) => kind === 'keyedBySource')
  if (calling === undefined || perSplit === undefined) return
  throw new WeirError(
    { code: 'GRAPH_KEYED_BY_SOURCE', kind: 'invalid', uid: calling.uid, keyedBySource: perSplit.uid },
    `what ${calling.kind} "${calling.uid}" puts out depends on when its calls come back, and in the stage of keyedBySource "${perSplit.uid}" ` +
      'everything depends on the records of its partition alone: write .keyBy(…) there, or make the calls in a job before.',
  )
}
