import { randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { stackEndpoints } from '../../../test/stack/endpoints.ts'
import { ANSWER_TTL_SECONDS, EtcdAnswerStore } from './answer-store.ts'
import { etcdClient } from './etcd.ts'
import { answerStoreContract } from './testing/answers.ts'

const client = etcdClient({ hosts: [stackEndpoints().etcd], cluster: 'none' })
afterAll(() => client.close())

describe('answers in etcd', () => {
  answerStoreContract(() => new EtcdAnswerStore(client, `t-${randomUUID()}`))

  test('are forgotten by etcd itself: a change keeps the lease of the key', async () => {
    const cluster = `t-${randomUUID()}`
    const store = new EtcdAnswerStore(client, cluster)
    const lease = async (): Promise<string> => (await client.get(`/weir/${cluster}/answers/k`).exec()).kvs[0]!.lease
    const begun = (await store.swap('k', 'begun', null))!
    const ID = await lease()
    await store.swap('k', 'answered', begun.revision)
    expect(await lease()).toBe(ID)
    const { grantedTTL } = await client.leaseClient.leaseTimeToLive({ ID, keys: false })
    expect(Number(grantedTTL)).toBe(ANSWER_TTL_SECONDS)
  })
})
