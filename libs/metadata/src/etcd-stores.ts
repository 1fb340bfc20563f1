/** What one term of leadership may change in etcd: every change compares the leader key. */
import type { JobRecord, JobStore, ManifestRef } from '@weir/checkpoint'
import { WeirError, type JobId } from '@weir/model'
import type { Etcd3 } from 'etcd3'
import type { RegisterView } from './arbiter.ts'
import type { HeadRegister } from './checkpoint-store.ts'
import { etcdUnavailable, headRegisterKey, jobKey, jobsPrefix, leaderKey } from './etcd.ts'

/**
 * What a term is known by in etcd. An etcd that was restored from a backup gives its revisions out again, also that of a
 * leader key: what stands in it has the generation, which never comes again.
 */
export interface EtcdTerm {
  /** Create revision of the leader key. */
  readonly revision: string
  /** Its value. */
  readonly record: string
}

export interface TermScope {
  readonly client: Etcd3
  readonly cluster: string
  readonly term: EtcdTerm
}

/** Begins a transaction that changes nothing unless the term still is. */
const whileLeading = ({ client, cluster, term }: TermScope): ReturnType<Etcd3['if']> =>
  client
    .if(leaderKey(cluster), 'Create', '==', Number(term.revision))
    .and(leaderKey(cluster), 'Value', '==', term.record)

const isOf = (term: EtcdTerm, leader: KeyValue | undefined): boolean =>
  leader?.create_revision === term.revision && leader.value.toString() === term.record

export class EtcdHeadRegister implements HeadRegister {
  readonly #scope: TermScope

  constructor(scope: TermScope) {
    this.#scope = scope
  }

  async read(jobId: JobId): Promise<RegisterView> {
    const { client, cluster } = this.#scope
    const get = client.get(headRegisterKey(cluster, jobId))
    try {
      // A transaction, so that "still leading" and the head are of one moment.
      const answer = await whileLeading(this.#scope).then(get).else(get).commit()
      return view(answer.succeeded, answer.responses[0]!.response_range.kvs[0])
    } catch (error) {
      throw etcdUnavailable(`reading the head of ${jobId}`, error)
    }
  }

  async swap(jobId: JobId, ref: ManifestRef, expected: string): Promise<{ won: boolean; view: RegisterView }> {
    const { client, cluster, term } = this.#scope
    const key = headRegisterKey(cluster, jobId)
    try {
      const answer = await whileLeading(this.#scope)
        .and(key, 'Mod', '==', Number(expected))
        .then(client.put(key).value(JSON.stringify(ref)))
        .else(client.get(leaderKey(cluster)), client.get(key))
        .commit()
      if (answer.succeeded)
        return { won: true, view: { leading: true, manifest: ref, revision: answer.header.revision } }
      const [leader, head] = answer.responses.map((r) => r.response_range.kvs[0])
      return { won: false, view: view(isOf(term, leader), head) }
    } catch (error) {
      throw etcdUnavailable(`publishing epoch ${ref.epoch} of ${jobId}`, error)
    }
  }
}

interface KeyValue {
  readonly value: Buffer
  readonly mod_revision: string
  readonly create_revision: string
}

const view = (leading: boolean, kv: KeyValue | undefined): RegisterView =>
  kv === undefined
    ? { leading, manifest: null, revision: '0' }
    : { leading, manifest: JSON.parse(kv.value.toString()) as ManifestRef, revision: kv.mod_revision }

/** Attempts of a compare-and-swap on a job record before the caller hears of it. */
const UPDATE_ATTEMPTS = 10

export class EtcdJobStore implements JobStore {
  readonly #scope: TermScope

  constructor(scope: TermScope) {
    this.#scope = scope
  }

  async create(record: JobRecord): Promise<boolean> {
    const key = jobKey(this.#scope.cluster, record.jobId)
    return this.#swap(record.jobId, '0', this.#scope.client.put(key).value(JSON.stringify(record)))
  }

  async get(jobId: JobId): Promise<JobRecord | null> {
    return (await this.#read(jobId)).record
  }

  async list(): Promise<readonly JobRecord[]> {
    try {
      const all = await this.#scope.client.getAll().prefix(jobsPrefix(this.#scope.cluster)).strings()
      return Object.values(all).map((text) => JSON.parse(text) as JobRecord)
    } catch (error) {
      throw etcdUnavailable('listing the jobs', error)
    }
  }

  async update(jobId: JobId, change: (record: JobRecord) => JobRecord): Promise<JobRecord> {
    const key = jobKey(this.#scope.cluster, jobId)
    for (let i = 0; i < UPDATE_ATTEMPTS; i++) {
      const { record, revision } = await this.#read(jobId)
      if (record === null) throw new WeirError({ code: 'JOB_UNKNOWN', kind: 'invalid', jobId }, `no job "${jobId}"`)
      const next = change(record)
      if (await this.#swap(jobId, revision, this.#scope.client.put(key).value(JSON.stringify(next)))) return next
    }
    throw new WeirError({ code: 'JOB_CONTENDED', kind: 'retry', jobId }, `job "${jobId}" is being changed by others`)
  }

  async #read(jobId: JobId): Promise<{ record: JobRecord | null; revision: string }> {
    try {
      const kv = (await this.#scope.client.get(jobKey(this.#scope.cluster, jobId)).exec()).kvs[0]
      if (kv === undefined) return { record: null, revision: '0' }
      return { record: JSON.parse(kv.value.toString()) as JobRecord, revision: kv.mod_revision }
    } catch (error) {
      throw etcdUnavailable(`reading job ${jobId}`, error)
    }
  }

  /** False when the record has changed; throws `LEADERSHIP_LOST` (fenced) when we do not lead. */
  async #swap(jobId: JobId, revision: string, put: ReturnType<Etcd3['put']>): Promise<boolean> {
    const { client, cluster, term } = this.#scope
    try {
      const answer = await whileLeading(this.#scope)
        .and(jobKey(cluster, jobId), 'Mod', '==', Number(revision))
        .then(put)
        .else(client.get(leaderKey(cluster)))
        .commit()
      if (answer.succeeded) return true
      if (isOf(term, answer.responses[0]!.response_range.kvs[0])) return false
    } catch (error) {
      throw etcdUnavailable(`writing job ${jobId}`, error)
    }
    throw new WeirError(
      { code: 'LEADERSHIP_LOST', kind: 'fenced' },
      `job ${jobId} was not written: another process leads`,
    )
  }
}
