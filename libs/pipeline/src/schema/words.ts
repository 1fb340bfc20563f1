/** Words that many parts of a pipeline are made of. Descriptions are what an editor shows. */
import * as z from 'zod'

/** CEL, or a literal that is its own CEL. */
export const Expression = z
  .union([z.string(), z.number(), z.boolean()], {
    error: 'is an expression: a text in CEL, e.g. value.status == "PAID"',
  })
  .describe('An expression in CEL. It sees value (the record), key, eventTime (ms) and params.')
/** One expression, or one per field of the result. */
export const Projection = z
  .union([Expression, z.record(z.string(), Expression)], {
    error: 'is an expression, or one per field of the result: { user: value.user, total: value.amount * 2 }',
  })
  .describe('One expression, or one per field of the result.')

const NO_DURATION = 'is a duration: 500ms, 10s, 5m, 24h, 7d, or a number of ms'
const DURATION = /^\d+(\.\d+)?(ms|s|m|h|d)$/
export const Duration = z
  .union([z.string().regex(DURATION, { error: NO_DURATION }), z.number().positive()], { error: NO_DURATION })
  .describe('A duration: 500ms, 10s, 5m, 24h, 7d, or a number of ms.')
const NO_BOUND = 'is a duration, negative for earlier: -5s, 0, 1m, or a number of ms'
export const SignedDuration = z
  .union([z.string().regex(/^-?\d+(\.\d+)?(ms|s|m|h|d)?$/, { error: NO_BOUND }), z.number()], { error: NO_BOUND })
  .describe('A duration, negative for earlier: -5s, 0, 1m.')

export const Uid = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, {
    error: 'is 1 to 63 of A-Z, a-z, 0-9, ".", "_" and "-", beginning with a letter or digit',
  })
  .describe('Name of the operator; its state is found again by it after an upgrade.')
export const StepName = z.string().describe('uid of a step above.')
export const Text = z.string().min(1, { error: 'is empty' })
/** What stands in their place may be the secret itself: it is not repeated (check.ts). */
const NO_SECRET =
  'names a variable or a file of the task-managers, as env:NAME or file:/PATH: plans are stored and shown'
export const NO_AUTH = 'is { token: env:NAME } or { username: env:NAME, password: env:NAME }'
export const OF_SECRETS: readonly string[] = [NO_SECRET, NO_AUTH]
export const Secret = z
  .string({ error: NO_SECRET })
  .regex(/^(env:\w+|file:\/.+)$/, { error: NO_SECRET })
  .describe('env:NAME or file:/PATH, the variable or file of the task-managers that holds it.')
export const Count = z.number().int().positive()
export const Rate = z.number().positive().describe('Records per second, over all subtasks.')
