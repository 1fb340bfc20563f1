/** What became of a replayed record, for people and as JSON. */
import { plain } from '@weir/dataflow'
import type { Step, TouchedRow } from '@weir/sdk/testing'
import type { Debugged } from './debug.ts'

/** Values as `weir state` shows them: what JSON does not have is tagged. */
export function plainOf(debugged: Debugged): unknown {
  const { failure, steps, state, outputs, sides, suppressed, ...rest } = debugged
  return {
    ...rest,
    steps: steps.map((step) => ({ ...step, returned: plain(step.returned) })),
    outputs: outputs.map((one) => ({ ...one, value: plain(one.value) })),
    sides: sides.map((one) => ({ ...one, value: plain(one.value) })),
    state: state.map(({ before, after, ...row }) => ({
      ...row,
      change: changeOf({ before, after }),
      ...(before !== undefined && { before: plain(before) }),
      ...(after !== undefined && { after: plain(after) }),
    })),
    suppressed: suppressed.map((one) => ({ ...one, value: plain(one.value) })),
    failure: failure && failure.toJSON(),
  }
}

export function report(debugged: Debugged): string {
  const { jobId, checkpoint, source, partition, offset, steps, stepsLeft, failure } = debugged
  const { outputs, sides, deadLetters, state, timers, suppressed } = debugged
  return [
    `${jobId}: record ${offset} of partition ${partition} of ${source}, with the state of checkpoint ${checkpoint}`,
    ...section('called', [...steps.map(stepLine), ...(stepsLeft > 0 ? [`… and ${stepsLeft} more calls`] : [])]),
    ...section(
      'outputs (not written)',
      outputs.map(({ sink, topic, key, value, timestamp }) =>
        [`${sink}${topic === sink ? '' : ` → ${topic}`}`, json(key), json(value), timeOf(timestamp)].join('\t'),
      ),
    ),
    ...section(
      'side outputs nobody takes',
      sides.map(({ side, key, value }) => [side, json(key), json(value)].join('\t')),
    ),
    ...section(
      'dead letters (not written)',
      deadLetters.map(({ operator, error, message }) => `${operator}\t${error}: ${message}`),
    ),
    ...section('state', state.map(rowLine)),
    ...section(
      'timers',
      timers.map(({ operatorUid, name, kind, key, timeMs, change }) =>
        [operatorUid, name, json(key), `${change} for ${timeOf(timeMs)} (${kind} time)`].join('\t'),
      ),
    ),
    ...section(
      'calls that were not made',
      suppressed.map(({ operator, value }) => `${operator}\t${json(value)}\t--allow-calls makes it`),
    ),
    ...(failure === null ? [] : ['', `the record fails: ${failure.code}: ${failure.message}`]),
  ].join('\n')
}

const section = (title: string, lines: readonly string[]): readonly string[] =>
  lines.length === 0 ? [] : ['', `${title}:`, ...lines.map((line) => `  ${line}`)]

const json = (value: unknown): string => JSON.stringify(plain(value))
const timeOf = (ms: number): string => (Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms))

const stepLine = ({ operator, call, returned, threw }: Step): string =>
  [
    `${operator}.${call}`,
    ...(threw === null ? (returned === undefined ? [] : [`→ ${json(returned)}`]) : [`threw ${threw}`]),
  ].join('\t')

const rowLine = (row: TouchedRow): string => {
  const { operatorUid, name, key, entry, namespace, split, before, after } = row
  const change = changeOf(row)
  const values = [before, after].filter((value) => value !== undefined).map(json)
  return [
    `${operatorUid} ${name}`,
    json(key),
    ...(entry === null ? [] : [json(entry)]),
    ...(namespace === 0 ? [] : [`window to ${timeOf(namespace)}`]),
    ...(split === null ? [] : [`split ${split}`]),
    change,
    ...(change === 'read' ? values.slice(0, 1) : [values.join(' → ')]),
  ].join('\t')
}

/** `none`: it was looked for, and there was nothing. */
function changeOf({ before, after }: Pick<TouchedRow, 'before' | 'after'>): string {
  if (before === undefined) return after === undefined ? 'none' : 'added'
  if (after === undefined) return 'removed'
  return json(before) === json(after) ? 'read' : 'changed'
}
