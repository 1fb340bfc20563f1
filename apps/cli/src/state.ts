/** `weir state`: what a job has stored, and whether a build can go on from it. */
import type { StoredSchema } from '@weir/dataflow'
import type { JobsClient } from '@weir/wire'
import { bundleJob } from './bundle.ts'
import { needed, usage } from './usage.ts'

export interface StateCommand {
  readonly verb: string | undefined
  readonly args: readonly (string | undefined)[]
  /** An epoch or a savepoint; empty: the last final epoch. */
  readonly at: string
  readonly split: string | undefined
  readonly dropped: readonly string[]
  readonly count: boolean
  /** Changes shown per state. */
  readonly limit: number
  /** Of the job file. */
  readonly params: Readonly<Record<string, string>>
}

type Print = (value: unknown, text: string) => void

/** 0; `get`: 1 where nothing is stored; `check`: 1 where the build cannot go on. */
export async function state(client: JobsClient, command: StateCommand, print: Print): Promise<number> {
  const { verb, args, at } = command
  const jobId = needed(args[0], 'JOB-ID')
  switch (verb) {
    case 'ls': {
      const what = { $case: 'overview' as const, value: { count: command.count } }
      const overview = (await client.readState(jobId, at, what)) as Overview
      print(overview, listing(overview))
      return 0
    }
    case 'get': {
      const [operator, name, key] = [needed(args[1], 'OPERATOR'), needed(args[2], 'STATE'), needed(args[3], 'KEY')]
      const value = { operator, state: name, key, split: splitIn(command.split) }
      const found = (await client.readState(jobId, at, { $case: 'key', value })) as Values
      print(found, found.entries.map(entryLine).join('\n') || `nothing is stored for ${key} in epoch ${found.epoch}`)
      return found.entries.length > 0 ? 0 : 1
    }
    case 'diff': {
      const [before, after] = [needed(args[1], 'EPOCH'), needed(args[2], 'EPOCH')]
      const what = { $case: 'diff' as const, value: { after, limit: command.limit } }
      const diff = (await client.readState(jobId, before, what)) as Difference
      print(
        diff,
        diff.states.flatMap(differenceLines).join('\n') || `epochs ${before} and ${after} have the same state`,
      )
      return 0
    }
    case 'check': {
      const from = at === '' ? jobId : /^\d+$/.test(at) ? `${jobId}@${at}` : `${jobId}/${at}`
      const { plan, graphHash, digest } = await bundleJob(needed(args[1], 'JOB.ts'), command.params)
      const build = { plan: Buffer.from(JSON.stringify(plan.summary)), graphHash, bundleDigest: digest }
      const answer = await client.checkStart({ ...build, from, allowDroppedState: [...command.dropped] })
      const { label, problems, notes } = answer
      const can = problems.length === 0
      const verdict = `${plan.job.name} ${can ? 'can' : 'cannot'} go on from ${label}`
      const lines = [...problems.map(({ code, message }) => `- ${code}: ${message}`), ...notes.map((n) => `note: ${n}`)]
      print({ from: label, restorable: can, problems, notes }, [verdict, ...lines].join('\n'))
      return can ? 0 : 1
    }
    default:
      throw usage(verb === undefined ? 'state needs ls, get, diff or check' : `there is no command "state ${verb}"`)
  }
}

interface Overview {
  readonly jobId: string
  readonly epoch: number
  readonly triggeredAt: number
  readonly parallelism: number
  readonly maxParallelism: number
  readonly states: readonly {
    readonly operatorUid: string
    readonly name: string
    readonly stage: number
    readonly schema: StoredSchema | null
    readonly bySplit: boolean
    readonly keys: number | null
  }[]
  readonly chains: readonly {
    readonly subtask: number
    readonly stage: number
    readonly segments: number
    readonly bytes: number
  }[]
}
interface Entry {
  readonly key: string | number
  readonly entry: string | number | null
  readonly namespace: number
  readonly keyGroup: number
  readonly split: number | null
}
interface Values {
  readonly epoch: number
  readonly entries: readonly (Entry & { readonly value: unknown })[]
}
interface Difference {
  readonly states: readonly {
    readonly operatorUid: string
    readonly name: string
    readonly added: number
    readonly changed: number
    readonly removed: number
    readonly changes: readonly (Entry & {
      readonly change: string
      readonly before?: unknown
      readonly after?: unknown
    })[]
  }[]
}

function listing({ epoch, triggeredAt, parallelism, maxParallelism, states, chains }: Overview): string {
  const when = new Date(triggeredAt).toISOString()
  const head = `epoch ${epoch} of ${when}, parallelism ${parallelism}, maxParallelism ${maxParallelism}`
  const ofStates = states.map(({ operatorUid, name, schema, bySplit, keys }) =>
    [
      ...[operatorUid, name, schema === null ? 'no schema' : `${schema.name} version ${schema.version}`],
      ...(keys === null ? [] : [`${keys} keys`]),
      ...(bySplit ? ['per split'] : []),
    ].join('\t'),
  )
  const ofChains = chains.map(({ stage, subtask, segments, bytes }) =>
    [`stage ${stage}, subtask ${subtask}`, `${segments} segments`, `${bytes} bytes`].join('\t'),
  )
  return [head, ...(states.length === 0 ? ['no states'] : ofStates), ...ofChains].join('\n')
}

/** Key, window, split, as far as there are any. */
const place = ({ key, entry, namespace, split }: Entry): string =>
  [
    JSON.stringify(key),
    ...(entry === null ? [] : [JSON.stringify(entry)]),
    ...(namespace === 0 ? [] : [`window to ${new Date(namespace).toISOString()}`]),
    ...(split === null ? [] : [`split ${split}`]),
  ].join('\t')

const entryLine = (entry: Values['entries'][number]): string => `${place(entry)}\t${JSON.stringify(entry.value)}`

function differenceLines(of: Difference['states'][number]): string[] {
  const { operatorUid, name, added, changed, removed, changes } = of
  const left = added + changed + removed - changes.length
  return [
    `${operatorUid} ${name}: ${added} added, ${changed} changed, ${removed} removed`,
    ...changes.map((change) => {
      const values = [change.before, change.after].filter((value) => value !== undefined).map((v) => JSON.stringify(v))
      return `${change.change}\t${place(change)}\t${values.join(' → ')}`
    }),
    ...(left > 0 ? [`… and ${left} more: --limit ${left + changes.length}`] : []),
  ]
}

function splitIn(split: string | undefined): number | undefined {
  if (split === undefined || /^\d{1,9}$/.test(split)) return split === undefined ? undefined : Number(split)
  throw usage(`--split is "${split}"; give a whole number`)
}
