/** What a job needs of the servers, as far as its plan tells: whom to ask, and what to hold the answers against. */
import type { ConnectorDescriptor, JobSettings } from '../graph.ts'
import type { PlanSummary } from '../plan.ts'
import type { ClaimsDescriptor } from '../claim-node.ts'
import { defaultSettings } from '../settings.ts'

export interface JobNeeds {
  readonly settings: JobSettings
  /** Topics at Kafka. */
  readonly reads: readonly string[]
  /** Of sinks, of dead letters, of receipts. */
  readonly writes: readonly string[]
  /** Sources that would see what is not committed. */
  readonly uncommitted: readonly string[]
  /** Of claims outside of the job. */
  readonly redis: readonly { readonly uid: string; readonly url: string; readonly waits: boolean }[]
  /** One per server: the operators of a slot share its connections. Absent in what an earlier build sends: none. */
  readonly postgres?: readonly { readonly uid: string; readonly url: string }[]
}

/** Of a job nobody has named: the settings a job has that says nothing. */
export const NEEDS_OF_ANY: JobNeeds = { settings: defaultSettings, reads: [], writes: [], uncommitted: [], redis: [] }

export function needsOf({ nodes, settings }: PlanSummary): JobNeeds {
  const [reads, writes] = [new Set<string>(), new Set<string>()]
  const uncommitted: string[] = []
  const redis: JobNeeds['redis'][number][] = []
  const postgres = new Map<string, { readonly uid: string; readonly url: string }>()
  for (const { uid, kind, config } of nodes) {
    const { descriptor, claims } = (config ?? {}) as {
      descriptor?: ConnectorDescriptor
      claims?: ClaimsDescriptor
    }
    if (descriptor?.connector === 'kafka') {
      const topics = kind === 'source' ? reads : writes
      topics.add(String(descriptor['topic']))
      if (descriptor['isolation'] === 'read_uncommitted') uncommitted.push(uid)
    }
    if (kind !== 'idempotent' || claims === undefined) continue
    const authority = authorityOf(claims)
    const url = String(authority['url'])
    if (authority.store === 'redis') redis.push({ uid, url, waits: (authority['wait'] ?? null) !== null })
    if (authority.store === 'postgres' && !postgres.has(url)) postgres.set(url, { uid, url })
  }
  for (const aside of [settings.deadLetters, settings.audit]) {
    if (aside?.connector === 'kafka') writes.add(String(aside['topic']))
  }
  return { settings, reads: [...reads], writes: [...writes], uncommitted, redis, postgres: [...postgres.values()] }
}

/** That decides, of tiers over each other the lowest. */
const authorityOf = (claims: ClaimsDescriptor): ClaimsDescriptor =>
  claims.store === 'tiered' ? (claims['remote'] as ClaimsDescriptor) : claims

export const usesKafka = ({ reads, writes }: JobNeeds): boolean => reads.length + writes.length > 0
