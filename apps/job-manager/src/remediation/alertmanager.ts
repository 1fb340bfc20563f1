/** What Alertmanager posts to a webhook: version 4 of its payload. Fields that mean nothing here may be there. */
import { WeirError } from '@weir/model'
import * as z from 'zod'

/** A group has as many alerts as jobs may have. */
const ALERTS_MAX = 1_000

const payload = z.object({
  version: z.literal('4'),
  alerts: z
    .array(
      z.object({
        status: z.enum(['firing', 'resolved']),
        labels: z.record(z.string(), z.string()),
      }),
    )
    .max(ALERTS_MAX),
})

export interface Alert {
  readonly name: string
  readonly status: 'firing' | 'resolved'
  /** Null: it is about no job. */
  readonly job: string | null
  /** Null: it is about no slice. */
  readonly subtask: number | null
}

/** Throws `ALERTS_INVALID` (invalid). */
export function alertsIn(body: unknown): readonly Alert[] {
  const parsed = payload.safeParse(body)
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!
    throw new WeirError(
      { code: 'ALERTS_INVALID', kind: 'invalid' },
      `the body is not what Alertmanager posts to a webhook (version 4): ${path.join('.') || 'it'}: ${message}`,
    )
  }
  return parsed.data.alerts.map(({ status, labels }) => ({
    ...{ name: labels['alertname'] ?? '', status, job: labels['job'] ?? null },
    subtask: /^\d{1,5}$/.test(labels['subtask'] ?? '') ? Number(labels['subtask']) : null,
  }))
}
