/** What is done about which alert: one JSON file, named by `WEIR_REMEDIATION`. Without it nothing is ever done by itself. */
import { WeirError } from '@weir/model'
import { readFileSync } from 'node:fs'
import * as z from 'zod'

const records = z.number().positive()
const seconds = z.number().int().positive().max(86_400)

const action = z.discriminatedUnion('do', [
  /** To `factor` times its subtasks, at least one more, within the bounds. */
  z.strictObject({
    do: z.literal('rescale'),
    factor: z.number().gt(1).max(4),
    max: z.number().int().min(1),
  }),
  /**
   * Every source to `factor` times the rate it has, one without a limit to `unlimitedRecordsPerSecond`; none below
   * `minRecordsPerSecond`. Lifted when the alert is over.
   */
  z.strictObject({
    do: z.literal('throttle'),
    factor: z.number().gt(0).lt(1),
    unlimitedRecordsPerSecond: records,
    minRecordsPerSecond: records,
  }),
  /** The job's degrade switch is on until the alert is over: user code leaves out what it may. */
  z.strictObject({ do: z.literal('degrade-switch') }),
  /** Sources that may wait are read with no more than this until the alert is over. */
  z.strictObject({
    do: z.literal('degrade'),
    sources: z.array(z.string().min(1)).min(1).max(64),
    recordsPerSecond: records,
  }),
  /** The region of the slice that the alert's label `subtask` names; without the label that of a job which is one region. */
  z.strictObject({ do: z.literal('restart-region') }),
])
export type RemediationAction = z.infer<typeof action>

const policy = z.strictObject({
  /** The name of the alert. */
  alert: z.string().min(1),
  /** Of these jobs alone; absent: of any that the alert names in its label `job`. */
  jobs: z.array(z.string().min(1)).min(1).optional(),
  /** In this order, all of them. */
  actions: z.array(action).min(1).max(8),
  /** Before the policy does something to the same job again. */
  cooldownSeconds: seconds,
})
export type RemediationPolicy = z.infer<typeof policy>

const config = z.strictObject({
  /** Nothing is done; what would be is recorded. */
  dryRun: z.boolean().default(false),
  /** Of all policies, for one job and for all. */
  actionsPerHour: z.strictObject({
    job: z.number().int().min(1).max(60),
    fleet: z.number().int().min(1).max(600),
  }),
  policies: z.array(policy).max(100),
})
export type RemediationConfig = z.infer<typeof config>

/** Throws `REMEDIATION_INVALID` (invalid), which says where. @param source for the message */
export function parseRemediation(text: string, source: string): RemediationConfig {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw invalid(source, `it is not JSON: ${(error as Error).message}`)
  }
  const parsed = config.safeParse(json)
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!
    throw invalid(source, `${path.join('.') || 'it'}: ${message}`)
  }
  const names = parsed.data.policies.map(({ alert }) => alert)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw invalid(source, `two policies are for ${twice}: put their actions into one`)
  return parsed.data
}

/** Null: there is none. Throws as `parseRemediation`, and where the file cannot be read. */
export function readRemediation(env: NodeJS.ProcessEnv): RemediationConfig | null {
  const file = env['WEIR_REMEDIATION']
  if (!file) return null
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw invalid(`WEIR_REMEDIATION=${file}`, (error as Error).message)
  }
  return parseRemediation(text, file)
}

const invalid = (source: string, why: string): WeirError =>
  new WeirError({ code: 'REMEDIATION_INVALID', kind: 'invalid', source }, `remediation policies in ${source}: ${why}`)
