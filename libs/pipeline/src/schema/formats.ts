/** How the values of a topic are written. */
import * as z from 'zod'
import { NO_AUTH, Secret, Text } from './words.ts'

const Auth = z.union([z.strictObject({ token: Secret }), z.strictObject({ username: Secret, password: Secret })], {
  error: NO_AUTH,
})

const Registry = z.strictObject({
  url: Text.describe('Of a schema registry that speaks Confluent’s protocol.'),
  auth: Auth.optional(),
  as: z.enum(['avro', 'protobuf', 'json']).default('avro'),
  schema: z
    .json()
    .optional()
    .describe(
      'Avro: what records are here; those of other writers are resolved to it. Protobuf: { descriptorSet, message }, as without a registry. JSON: the JSON Schema that a sink looks up or registers.',
    ),
  subjects: z.enum(['topic', 'record', 'topic-record']).optional(),
  autoRegister: z.boolean().optional().describe('The sink registers its schema when it starts.'),
  useLatestVersion: z.boolean().optional().describe('The sink writes with the newest schema of its subject.'),
})

const Protobuf = z.strictObject({
  descriptorSet: Text.describe('A FileDescriptorSet in base64: buf build -o - | base64 -w0.'),
  message: Text.describe('Full name of the message. Its records are what ProtoJSON makes of them.'),
})
export type ProtobufSpec = z.infer<typeof Protobuf>

export const Format = z
  .union(
    [
      z.enum(['json']),
      z.strictObject({ avro: z.json().describe('The schema, as JSON or as its text.') }),
      z.strictObject({ protobuf: Protobuf }),
      z.strictObject({ registry: Registry }),
    ],
    {
      error:
        'is json, { avro: SCHEMA }, { protobuf: { descriptorSet: BASE64, message: NAME } } or { registry: { url: URL, schema: SCHEMA } }',
    },
  )
  .describe('How values are written. Default json.')
export type FormatSpec = z.infer<typeof Format>

/** Field of the record → name of the header. */
export const ReadHeaders = z
  .record(z.string().regex(/^[A-Za-z_]\w*$/, { error: 'is a name of letters, digits and _' }), Text)
  .describe('The record is { value, headers } then: a field for each header named here, its text, or null.')
