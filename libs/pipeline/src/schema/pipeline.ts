/** A pipeline as a whole; the JSON Schema that editors are given is made of this. */
import * as z from 'zod'
import { Aside } from './connectors.ts'
import { steps, type Step } from './steps.ts'
import { Count } from './words.ts'

const Whole = z.number().int().nonnegative()

/** Names of types: `string`, `int?`, `list<Order>`. */
const TypeText = z
  .string()
  .describe(
    'string, int (whole, exact), double, bool, any, the name of a type, list<T>; T? where it may be missing or null.',
  )
export type TypeSpec = string | { readonly [field: string]: TypeSpec } | { readonly enum: readonly string[] }
const TypeSpec: z.ZodType<TypeSpec> = z.lazy(() =>
  z.union([TypeText, z.strictObject({ enum: z.array(z.string()).min(1) }), z.record(z.string(), TypeSpec)], {
    error:
      'is a type (string, int, double, bool, any, list<T>, T?, the name of one), { enum: [A, B] } or fields with types',
  }),
)

const Param = z
  .union([z.string(), z.number(), z.boolean(), z.strictObject({ type: z.enum(['string', 'number', 'boolean']) })], {
    error: 'is a default value, or { type: string | number | boolean } of one that may be left out',
  })
  .describe('Its default; or { type: number } of one that may be left out.')

export const settings = z
  .strictObject({
    parallelism: Count.optional(),
    maxParallelism: Count.optional(),
    checkpoint: z
      .strictObject({
        intervalMs: Whole.optional(),
        everyRecords: Count.nullable().optional(),
        minPauseMs: Whole.optional(),
        alignTimeoutMs: Whole.optional(),
        toleratedAborts: Whole.optional(),
        mode: z.enum(['barrier', 'watermark']).optional(),
        cutBoundMs: Whole.optional(),
        unaligned: z.boolean().optional(),
        alignedTimeoutMs: Whole.nullable().optional(),
        retained: Count.optional(),
        circuit: z.strictObject({ failures: Count.optional(), pauseMsMax: Whole.optional() }).optional(),
      })
      .optional(),
    commit: z
      .union(
        [
          z.strictObject({ scope: z.literal('epoch') }),
          z.strictObject({ scope: z.literal('continuous'), intervalMs: Whole.optional() }),
        ],
        { error: 'is { scope: epoch } or { scope: continuous, intervalMs: 100 }' },
      )
      .optional(),
    transactionTimeoutMs: Whole.optional(),
    recoveryBudgetMs: Whole.optional(),
    restart: z
      .record(z.string(), z.union([z.string(), z.number()]))
      .optional()
      .describe('{ attempts: 10, delayMs: 1000 } or another strategy.'),
    bufferTimeoutMs: Whole.optional(),
    failover: z.enum(['region', 'full']).optional(),
    arbiter: z.enum(['etcd', 's3']).optional(),
    metadata: z
      .strictObject({ primary: z.string(), fallback: z.string(), consistency: z.string() })
      .optional()
      .describe('In words what arbiter: etcd does.'),
    traceContext: z.boolean().optional(),
    traces: z
      .strictObject({ sampleRate: z.number().min(0).max(1) })
      .optional()
      .describe('One record of so many is a trace.'),
    deadLetters: Aside.optional().describe('Where records go that cannot be processed.'),
    audit: z
      .union([z.boolean(), Aside], { error: 'is true, or { kafka: TOPIC }' })
      .optional()
      .describe('A receipt of every transaction.'),
  })
  .describe('As the settings of a job in TypeScript. Times in ms.')

const head = {
  version: z.literal(1, { error: 'is 1: the version of this language' }),
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, { error: 'is 1 to 63 of a-z, 0-9 and "-", beginning with a letter or digit' })
    .describe('Name of the job.'),
  params: z
    .record(z.string().regex(/^[A-Za-z_]\w*$/), Param)
    .optional()
    .describe('Set with --set NAME=VALUE. ${NAME} in a value, params.NAME in an expression.'),
  types: z
    .record(z.string().regex(/^[A-Z]\w*$/), TypeSpec)
    .optional()
    .describe('Types of records, by name: Order: { id: string, amount: int }.'),
  settings: settings.optional(),
}

export interface PipelineSpec {
  readonly version: 1
  readonly name: string
  readonly params?: z.infer<typeof head.params>
  readonly types?: Readonly<Record<string, TypeSpec>>
  readonly settings?: z.infer<typeof settings>
  readonly steps: readonly Step[]
}

/** Everything but the steps, which are looked at one by one. */
export const PipelineHead = z.strictObject({
  ...head,
  steps: z.array(z.unknown()).min(1, { error: 'has at least one step' }),
})

const Pipeline = z.strictObject({
  ...head,
  steps: z
    .array(z.union(Object.values(steps) as unknown as [z.ZodType, z.ZodType]))
    .min(1)
    .describe('From top to bottom: each reads the one above, unless it names another as its input.'),
})

export const SCHEMA_ID = 'urn:weir:pipeline:1'
/** A value that is a parameter. */
const PARAMETER = { type: 'string', pattern: '^\\$\\{[A-Za-z_]\\w*\\}$' }

/** JSON Schema 2020-12 of what people write: where a number or a boolean stands, a parameter may. */
export function pipelineJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(Pipeline, {
    io: 'input',
    reused: 'ref',
    override({ jsonSchema }) {
      const { type, description, default: fallback, ...rest } = jsonSchema
      if (type !== 'number' && type !== 'integer' && type !== 'boolean') return
      if ('const' in jsonSchema) return
      for (const name of Object.keys(jsonSchema)) delete jsonSchema[name]
      Object.assign(jsonSchema, {
        anyOf: [{ type, ...rest }, PARAMETER],
        ...(description !== undefined && { description }),
        ...(fallback !== undefined && { default: fallback }),
      })
    },
  })
  return { $id: SCHEMA_ID, title: 'Weir pipeline', description: 'A job of Weir in YAML.', ...schema }
}
