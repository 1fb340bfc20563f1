/** Where records come from and go to. */
import * as z from 'zod'
import { Format, ReadHeaders } from './formats.ts'
import { Count, Duration, Expression, Rate, Secret, Text } from './words.ts'

/** json, or the name of a type. */
const Value = Text.describe(
  'json (anything), or the name of a type of this pipeline, which every record is checked against.',
)

const reading = {
  timestamp: Expression.optional().describe('Event time in ms, of value. Default: the record’s own timestamp.'),
  outOfOrder: Duration.optional().describe('Watermark = highest timestamp − this. Default 0.'),
  recordsPerSecond: Rate.optional(),
}
const topic = {
  topic: Text.describe('Name of the topic.'),
  value: Value.default('json'),
  format: Format.default('json'),
  headers: ReadHeaders.optional(),
  ...reading,
  idleAfter: Duration.optional().describe('A partition without records for so long holds event time back no longer.'),
  alignWithin: Duration.optional().describe(
    'A partition that is further ahead of the slowest is not read until that comes up.',
  ),
  alignGroup: Text.optional(),
  startFrom: z.enum(['earliest', 'latest']).optional(),
  until: z
    .enum(['none', 'latest'])
    .optional()
    .describe('latest: bounded, up to the end the topic had at the first start.'),
  minRecordsPerSecond: Rate.optional(),
}

export const Sources = {
  kafka: z
    .strictObject({
      ...topic,
      outOfRange: z.enum(['fail', 'earliest', 'latest']).optional().describe('When the offset is in the log no more.'),
    })
    .describe('A topic in Kafka, read committed.'),
  log: z.strictObject(topic).describe('A topic of the embedded log: weir dev, no server.'),
  datagen: z
    .strictObject({
      generator: z.enum(['payments']).default('payments'),
      splits: Count.optional(),
      recordsPerSplit: z.number().int().nonnegative().nullable().optional(),
      users: Count.optional(),
      paidPercent: z.number().int().optional(),
      startTs: z.number().int().optional(),
      stepMs: z.number().int().optional(),
      seed: z.number().int().optional(),
      recordsPerSecond: Rate.optional(),
      minRecordsPerSecond: Rate.optional(),
    })
    .describe('Generated payments: id, user, amountMinor, status, ts.'),
  ndjson: z
    .strictObject({
      folder: Text.describe('s3://BUCKET/FOLDER/ or file:///FOLDER/'),
      value: Value.default('json'),
      ...reading,
      timestamp: Expression.describe('Event time in ms: a line has none of its own.'),
      splits: Count.optional(),
    })
    .describe('The *.ndjson and *.jsonl below a folder, bounded.'),
  postgres: z
    .strictObject({
      url: Secret,
      publication: Text,
      slot: Text.describe('A replication slot for this job alone.'),
      until: z.enum(['none', 'latest']).optional(),
      ...reading,
    })
    .describe('Changes of tables in PostgreSQL, by logical replication.'),
}

const written = z.strictObject({
  topic: Text,
  keyOf: Expression.optional().describe(
    'Key of a record, of value: a text or a number. Default: the key of keyBy, else none.',
  ),
  format: Format.optional(),
  headers: z
    .record(z.string().min(1), Expression)
    .optional()
    .describe('Name of a header → its text, of value. Where it is null there is none.'),
  onLost: z.enum(['heal', 'fail']).optional().describe('When the broker aborts published output. Default heal.'),
})
const Topic = z.union([Text, written], {
  error: 'is a topic, or { topic: NAME, keyOf: EXPRESSION, format: …, headers: …, onLost: heal | fail }',
})
/** Where letters and receipts go. */
const Aside = z.union([z.strictObject({ kafka: Text }), z.strictObject({ log: Text })], {
  error: 'is { kafka: TOPIC } or { log: TOPIC }',
})
export { Aside }

export const Sinks = {
  kafka: Topic.describe('A topic in Kafka, in transactions.'),
  log: Topic.describe('A topic of the embedded log.'),
  ndjson: z
    .strictObject({ folder: Text, rollBytes: Count.optional() })
    .describe('Files of JSON lines, which appear when their epoch is published.'),
  parquet: z
    .strictObject({
      folder: Text,
      columns: z.record(
        z.string(),
        z.union([ParquetType(), z.strictObject({ type: ParquetType(), from: Text })], {
          error: 'is BOOLEAN, INT32, INT64, DOUBLE, STRING, JSON or TIMESTAMP, or { type, from }',
        }),
      ),
      rollBytes: Count.optional(),
    })
    .describe('Parquet files, which appear when their epoch is published.'),
  postgres: z
    .strictObject({
      table: Text,
      url: Secret,
      columns: z.union([z.array(Text), z.record(z.string(), Text)], {
        error: 'is a list of columns, or { column: field }',
      }),
      key: z.array(Text).optional().describe('Columns of the primary key: a row replaces the one with the same key.'),
      origin: Text.optional(),
      markers: Text.optional(),
    })
    .describe('Rows of a table, exactly once.'),
  http: z
    .strictObject({
      url: Text,
      method: z.enum(['POST', 'PUT', 'PATCH']).optional(),
      contentType: Text.optional(),
      authorization: Secret.optional(),
    })
    .describe('One request per record, with an Idempotency-Key.'),
}

function ParquetType() {
  return z.enum(['BOOLEAN', 'INT32', 'INT64', 'DOUBLE', 'STRING', 'JSON', 'TIMESTAMP'])
}

/** One of them, by its name. */
export const Source = oneOf(Sources)
export const Sink = oneOf(Sinks)

function oneOf<S extends Record<string, z.ZodType>>(
  kinds: S,
): z.ZodType<{ [K in keyof S]: { [N in K]: z.infer<S[K]> } }[keyof S]> {
  const each = Object.entries(kinds).map(([name, schema]) =>
    z.strictObject({ [name]: schema }).describe(schema.description ?? name),
  )
  return z.union(each as unknown as [z.ZodType, z.ZodType]) as never
}
