/** What `weir doctor` says of one thing it has looked at, and what follows from it for a job. */

export type Severity = 'ok' | 'warning' | 'unsafe'

/**
 * `production`: what is unsafe refuses the job. `development`: it warns, as one broker on one machine is unsafe by nature; only
 * what loses output whatever the machine refuses there too.
 */
export type Profile = 'production' | 'development'

/** Stable: jobs name them in `acceptUnsafe`. */
export const DIAGNOSIS_CODES = [
  'KAFKA_PROTOCOL',
  'KAFKA_RELEASE',
  'KAFKA_TRANSACTION_TIMEOUT',
  'KAFKA_TRANSACTION_LOG',
  'KAFKA_TRANSACTIONAL_ID_EXPIRY',
  'KAFKA_OFFSETS_RETENTION',
  'KAFKA_TOPIC_MISSING',
  'KAFKA_REPLICATION',
  'KAFKA_UNCLEAN_ELECTION',
  'KAFKA_RETENTION',
  'KAFKA_COMPACTION',
  'KAFKA_TIMESTAMPS',
  'KAFKA_ISOLATION',
  'ETCD_ALARM',
  'ETCD_SPACE',
  'ETCD_LATENCY',
  'ETCD_MEMBERS',
  'OBJECTS_CONDITIONS',
  'OBJECTS_READ_AFTER_WRITE',
  'OBJECTS_LATENCY',
  'REDIS_EVICTION',
  'REDIS_MEMORY',
  'REDIS_PERSISTENCE',
  'REDIS_FAILOVER',
  'POSTGRES_CONNECTIONS',
  'CLOCK_SKEW',
  'MACHINE_DISK',
  'MACHINE_OPEN_FILES',
  'MACHINE_NODE',
  'NOT_EXAMINED',
] as const
export type DiagnosisCode = (typeof DIAGNOSIS_CODES)[number]

export interface Diagnosis {
  readonly code: DiagnosisCode
  readonly severity: Severity
  /** What was looked at: a topic, a broker, a machine. */
  readonly what: string
  /** As it is. */
  readonly why: string
  /** What to do; empty where all is well. */
  readonly remedy: string
}

/** These lose output on any machine: `development` forgives them no more than `production` does. */
const NEVER_FORGIVEN: readonly DiagnosisCode[] = [
  'KAFKA_PROTOCOL',
  'KAFKA_TRANSACTION_TIMEOUT',
  'KAFKA_ISOLATION',
  'ETCD_ALARM',
  'OBJECTS_READ_AFTER_WRITE',
]

export interface Verdict {
  /** With the severity they have in the profile. */
  readonly diagnoses: readonly Diagnosis[]
  /** What a job must not start with. */
  readonly refused: readonly Diagnosis[]
  /** Unsafe, and accepted by the job in so many words. */
  readonly accepted: readonly Diagnosis[]
}

export function judge(diagnoses: readonly Diagnosis[], profile: Profile, accepts: readonly string[] = []): Verdict {
  const judged = diagnoses.map((diagnosis): Diagnosis => {
    const isForgiven = profile === 'development' && !NEVER_FORGIVEN.includes(diagnosis.code)
    return diagnosis.severity === 'unsafe' && isForgiven ? { ...diagnosis, severity: 'warning' } : diagnosis
  })
  const unsafe = judged.filter(({ severity }) => severity === 'unsafe')
  return {
    diagnoses: judged,
    refused: unsafe.filter(({ code }) => !accepts.includes(code)),
    accepted: unsafe.filter(({ code }) => accepts.includes(code)),
  }
}

/** Of one thing: what makes diagnoses of one code. */
export const looker = (code: DiagnosisCode, what: string) => ({
  ok: (why: string): Diagnosis => ({ code, severity: 'ok', what, why, remedy: '' }),
  warning: (why: string, remedy: string): Diagnosis => ({ code, severity: 'warning', what, why, remedy }),
  unsafe: (why: string, remedy: string): Diagnosis => ({ code, severity: 'unsafe', what, why, remedy }),
})

/** A server that did not answer is not unsafe: a job waits for it, as it does when it goes away later. */
export const notExamined = (what: string, why: string, remedy: string): Diagnosis =>
  looker('NOT_EXAMINED', what).warning(why, remedy)
