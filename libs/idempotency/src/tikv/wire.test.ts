/** The subset of kvproto in proto/tikv against bytes of kvproto itself: a wrong number, type or forgotten field does not come back. */
import { readFileSync } from 'node:fs'
import { errorpb, keyspacepb, kvrpcpb, pdpb, tikvpb } from '@weir/proto/tikv'
import { expect, test } from 'vitest'

interface Codec {
  decode(bytes: Uint8Array): unknown
  encode(message: never): { finish(): Uint8Array }
}
const packages: Record<string, object> = { errorpb, keyspacepb, kvrpcpb, pdpb, tikvpb }
const file = new URL('../../../../test/tikv/golden/kvproto.json', import.meta.url)
const golden = Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>)

test.each(golden)('%s comes back as kvproto wrote it', (name, hex) => {
  const [of, message] = name.split('.')
  const codec = (packages[of!] as Record<string, Codec>)[message!]!
  const decoded = codec.decode(Buffer.from(hex, 'hex')) as never
  expect(Buffer.from(codec.encode(decoded).finish()).toString('hex')).toBe(hex)
})

test('ids beyond 2^53 are exact', () => {
  const [, hex] = golden.find(([name]) => name === 'pdpb.GetMembersResponse')!
  const { header, leader } = pdpb.GetMembersResponse.decode(Buffer.from(hex, 'hex'))
  expect([header?.clusterId, leader?.memberId]).toEqual([7_711_383_951_708_769_177n, 9_007_199_254_740_999n])
})
