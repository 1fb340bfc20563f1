/** The audit log as a process has it: a file, and the topic it is sent to. */
import { systemClock, systemRandom } from '@weir/runtime/system'
import type { Logger, Metrics } from '@weir/telemetry'
import type { JobManagerConfig } from '../config.ts'
import { Audit } from './audit.ts'
import { AuditFile } from './file.ts'
import { AuditTopic } from './topic.ts'

type Settings = Pick<JobManagerConfig, 'auditFile' | 'auditSync' | 'auditTopic'>

/** @param self address of this job-manager: the key of its records. Throws `AUDIT_UNWRITABLE`, `CONFIG_INVALID`, `SECRET_MISSING` (invalid). */
export async function openAudit(
  { auditFile: path, auditSync, auditTopic }: Settings,
  self: string,
  { log, metrics }: { readonly log: Logger; readonly metrics: Metrics },
): Promise<Audit> {
  const file = path === null ? null : await AuditFile.open(path, auditSync)
  const topic = path === null || auditTopic === null ? null : await opened(path, auditTopic, self, log)
  if (topic !== null)
    metrics.gauge('weir_audit_waiting_bytes', 'Of the audit log, not yet taken by its topic', () => topic.waitingBytes)
  return new Audit({ file, topic, log, clock: systemClock, random: systemRandom })
}

async function opened(
  path: string,
  { topic, brokers, waitingBytesMax }: NonNullable<Settings['auditTopic']>,
  key: string,
  log: Logger,
): Promise<AuditTopic> {
  // A Kafka client is loaded where it is needed only.
  const { KafkaDurableLog, kafkaSecurity } = await import('@weir/kafka')
  const topics = new KafkaDurableLog({ brokers, clientId: 'weir-audit', security: kafkaSecurity(process.env) })
  return AuditTopic.open({ path, topic, key, waitingBytesMax }, { topics, clock: systemClock, log })
}
