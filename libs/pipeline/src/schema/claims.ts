/** Where claims of events are kept, outside of the job. */
import * as z from 'zod'
import { Count, Duration, Secret, Text } from './words.ts'

const Redis = z.strictObject({
  redis: z.strictObject({
    url: Text,
    namespace: Text.optional(),
    wait: z.strictObject({ replicas: Count, timeout: Duration.optional() }).optional(),
  }),
})
const Postgres = z.strictObject({
  postgres: z.strictObject({ url: Text, namespace: Text.optional(), table: Text.optional() }),
})
const Tikv = z.strictObject({
  tikv: z.strictObject({
    pd: z.array(Text).min(1, { error: 'names at least one PD member' }).describe('PD members, host:port.'),
    namespace: Text.optional(),
    apiVersion: z.union([z.literal(2), z.literal('v1ttl')], { error: 'is 2 or v1ttl' }).optional(),
    keyspace: Text.optional(),
    tls: z
      .strictObject({ ca: Secret, cert: Secret.optional(), key: Secret.optional() })
      .optional()
      .describe('PEM texts; cert and key go together.'),
    deadline: Duration.optional().describe('Of one key’s call with all its tries. Default 100ms.'),
  }),
})
const Remote = z.union([Redis, Tikv, Postgres], { error: 'is { redis: … }, { tikv: … } or { postgres: … }' })
const Tiered = z.strictObject({
  tiered: z
    .strictObject({
      remote: Remote.describe('The authority.'),
      localDir: Text.optional(),
      soleWriter: z.boolean().optional(),
      entriesMax: Count.optional(),
    })
    .describe('Copies in memory and on the disk of each subtask, over a store that several share.'),
})

export const CLAIM_STORES = [Redis, Tikv, Postgres, Tiered] as const
export type ClaimStoreSpec = z.infer<(typeof CLAIM_STORES)[number]>
export type RemoteSpec = z.infer<typeof Remote>

export const CLAIMS_ERROR =
  'is state, { redis: { url: env:NAME } }, { tikv: { pd: [HOST:PORT] } }, { postgres: { url: env:NAME } } or { tiered: { remote: … } }'
