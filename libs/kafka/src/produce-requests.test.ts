import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ProduceRequests, requestsOf, type OutgoingBatch } from './produce-requests.ts'
import type { Answer, Place } from './transaction-state.ts'

const at = (partition: number, topic = 't'): Place => ({ topic, partition })
const batch = (name: string, partition: number, bytes = 10): OutgoingBatch & { name: string } => ({
  ...{ name, place: at(partition), bytes: Buffer.alloc(bytes) },
})
const MIB = 1 << 20

test('what goes to one broker at the same moment is one request; a partition is in it once, and no request is too large', () => {
  const leaderOf = ({ partition }: Place): string => `broker ${partition % 2}`
  const going = [batch('a', 0), batch('b', 1), batch('c', 2), batch('d', 0), batch('e', 2, MIB), batch('f', 4)]
  const sent = requestsOf(going, leaderOf).map(({ nodeId, batches }) => [
    nodeId,
    batches.map(({ name }) => name).join(''),
  ])
  expect(sent).toEqual([
    ['broker 0', 'ac'],
    ['broker 1', 'b'],
    ['broker 0', 'd'],
    ['broker 0', 'e'],
    ['broker 0', 'f'],
  ])
})

test('whatever goes: every batch once, those of a partition in their order, one of each in a request', () => {
  const batches = fc.array(fc.tuple(fc.nat(5), fc.integer({ min: 1, max: MIB })), { maxLength: 40 })
  fc.assert(
    fc.property(batches, fc.integer({ min: 1, max: 3 }), (all, brokers) => {
      const going = all.map(([partition, bytes], i) => ({
        name: String(i),
        place: at(partition),
        bytes: { length: bytes } as Buffer,
      }))
      const requests = requestsOf(going, ({ partition }) => String(partition % brokers))
      for (const { nodeId, batches } of requests) {
        expect(new Set(batches.map(({ place }) => place.partition)).size).toBe(batches.length)
        expect(batches.every(({ place }) => String(place.partition % brokers) === nodeId)).toBe(true)
        expect(batches.length === 1 || batches.reduce((sum, { bytes }) => sum + bytes.length, 0) <= MIB).toBe(true)
      }
      for (let partition = 0; partition <= 5; partition++) {
        const namesIn = (some: typeof going): string[] =>
          some.filter(({ place }) => place.partition === partition).map(({ name }) => name)
        expect(namesIn(requests.flatMap(({ batches }) => batches))).toEqual(namesIn(going))
      }
    }),
  )
})

/** Answers of partition p: p, or none at all. */
function broker(answers: (nodeId: string) => boolean = () => true) {
  const asked: string[] = []
  const requests = new ProduceRequests({
    leaderOf: ({ partition }) => {
      if (partition === 9) throw new Error('metadata are not loaded')
      return partition < 5 ? 'a' : 'b'
    },
    send: (nodeId, batches) => {
      asked.push(`${nodeId}: ${batches.map(({ bytes }) => bytes.toString()).join(' ')}`)
      if (!answers(nodeId)) return Promise.reject(new Error(`${nodeId} is away`))
      return Promise.resolve(batches.map(({ place }): Answer => ({ errorCode: place.partition })))
    },
  })
  const send = (name: string, partition: number): Promise<Answer | null> =>
    requests.send(at(partition), () => Buffer.from(name))
  return { asked, requests, send }
}

test('each batch gets its own answer; one that nobody waits for any more is not sent', async () => {
  const { asked, requests, send } = broker()
  const dropped = requests.send(at(3), () => null)
  expect(await Promise.all([send('x', 1), dropped, send('y', 2), send('z', 7)])).toEqual([
    { errorCode: 1 },
    null,
    { errorCode: 2 },
    { errorCode: 7 },
  ])
  expect(asked).toEqual(['a: x y', 'b: z'])
  await send('later', 1)
  expect(asked).toEqual(['a: x y', 'b: z', 'a: later'])
})

test('without an answer every batch of the request has none, and those of another broker have theirs', async () => {
  const { send } = broker((nodeId) => nodeId === 'b')
  const [x, y, z] = await Promise.allSettled([send('x', 1), send('y', 2), send('z', 7)])
  expect([x.status, y.status, z.status]).toEqual(['rejected', 'rejected', 'fulfilled'])
  await expect(send('lost', 9)).rejects.toThrow('metadata are not loaded')
})
