/** etcd and the object store: where it is decided what is published. */
import type { EtcdFacts, ObjectsFacts } from './facts.ts'
import { looker, type Diagnosis } from './diagnosis.ts'

/** Behind it a leader that is healthy looks like one that is gone: its lease of 3 s is renewed every second. */
const ETCD_SLOW_MS = 1_000
/** What etcd's own documentation asks for is 10 ms of the disk; ten times that is felt in every checkpoint. */
const ETCD_LATE_MS = 100
const SPACE_WARNING = 0.8
const SPACE_UNSAFE = 0.95
/** Of an etcd that does not tell: its own default. */
const QUOTA_BYTES_DEFAULT = 2 * 1024 ** 3
const OBJECTS_SLOW_MS = 2_000

export function checkEtcd(facts: EtcdFacts): readonly Diagnosis[] {
  return [alarms(facts), space(facts), latency(facts), members(facts)]
}

function alarms({ alarms }: EtcdFacts): Diagnosis {
  const { ok, unsafe } = looker('ETCD_ALARM', 'etcd')
  if (alarms.length === 0) return ok('no alarm is raised')
  return unsafe(
    `${alarms.join(', ')}: etcd takes no writes, so no epoch can be published but by the object store alone`,
    'NOSPACE: compact, defragment, raise --quota-backend-bytes, then etcdctl alarm disarm. CORRUPT: replace the member it names',
  )
}

function space({ dbBytes, quotaBytes }: EtcdFacts): Diagnosis {
  const { ok, warning, unsafe } = looker('ETCD_SPACE', 'etcd')
  const quota = quotaBytes ?? QUOTA_BYTES_DEFAULT
  const part = dbBytes / quota
  const why = `${dbBytes} bytes of ${quota}${quotaBytes === null ? ' (its default; it does not tell)' : ''} are used`
  const remedy =
    'compact and defragment (etcdctl compact, defrag), or raise --quota-backend-bytes: full, it takes no writes'
  if (part >= SPACE_UNSAFE) return unsafe(why, remedy)
  return part >= SPACE_WARNING ? warning(why, remedy) : ok(why)
}

function latency({ writeMs, readMs }: EtcdFacts): Diagnosis {
  const { ok, warning, unsafe } = looker('ETCD_LATENCY', 'etcd')
  const slowest = Math.max(writeMs, readMs)
  const why = `a write took ${round(writeMs)} ms, a read through the quorum ${round(readMs)} ms`
  const remedy =
    'give etcd a disk of its own (fsync within 10 ms) and members near each other, and the job-manager near them'
  if (slowest >= ETCD_SLOW_MS) {
    return unsafe(`${why}: leases end under a leader that lives, and jobs restart without a reason`, remedy)
  }
  return slowest >= ETCD_LATE_MS ? warning(`${why}: every checkpoint waits for it`, remedy) : ok(why)
}

function members({ members }: EtcdFacts): Diagnosis {
  const { ok, warning } = looker('ETCD_MEMBERS', 'etcd')
  const why = `${members} ${members === 1 ? 'member' : 'members'}`
  if (members >= 3 && members % 2 === 1) return ok(why)
  return warning(
    members < 3
      ? `${why}: when one is away nobody is elected, and jobs go on by the object store alone`
      : `${why}: no more may be away than with one fewer`,
    'run three members, or five',
  )
}

export function checkObjects({ conditions, stale, writeMs }: ObjectsFacts): readonly Diagnosis[] {
  const [first, second, third] = [
    looker('OBJECTS_CONDITIONS', 'object store'),
    looker('OBJECTS_READ_AFTER_WRITE', 'object store'),
    looker('OBJECTS_LATENCY', 'object store'),
  ]
  const why = `an object was written in ${round(writeMs)} ms`
  return [
    conditions
      ? first.ok('If-Match and If-None-Match are honoured: it decides with etcd, and alone while etcd is away')
      : first.warning(
          'conditional writes (If-Match, If-None-Match) are not honoured: etcd decides alone, no epoch is published while it is away',
          "use a store that honours them (AWS S3, MinIO, …); a job with `arbiter: 's3'` needs one",
        ),
    stale.length === 0
      ? second.ok('what was written, overwritten and deleted is seen so at once')
      : second.unsafe(
          `stale: ${stale.join(', ')}. A recovery could read an older epoch than the one that is published`,
          'use a store with read-after-write consistency, and no cache in front of it',
        ),
    writeMs < OBJECTS_SLOW_MS
      ? third.ok(why)
      : third.warning(`${why}: every checkpoint waits for several of them`, 'use a store, or a region, that is nearer'),
  ]
}

const round = (ms: number): number => Math.round(ms * 10) / 10
