import { expect, test } from 'vitest'
import { messageNames } from './proto-names.ts'
import { indexBytes } from './protobuf.ts'

test('messages are named by their place among their siblings; comments, texts and other braces do not count', () => {
  const names = messageNames(`
    // message NotThis {
    syntax = "proto3"; /* message NorThis { */
    package shop.v1;
    option (note) = "message Neither {";
    import "other.proto";
    enum Kind { NONE = 0; }
    message Order {
      enum Inner { A = 0; }
      message Line { int32 n = 1 [(note) = "}"]; message Part {} }
      oneof party { string user = 1; }
      map<string, Line> lines = 2;
      message Total { reserved 1 to 3; }
    }
    service Shop { rpc Buy(Order) returns (Order) { option idempotency_level = IDEMPOTENT; } }
    message Payment { extensions 100 to 200; }
    extend Payment { optional string note = 100; }`)
  expect(Object.fromEntries(names)).toEqual({
    '0': 'shop.v1.Order',
    '0.0': 'shop.v1.Order.Line',
    '0.0.0': 'shop.v1.Order.Line.Part',
    '0.1': 'shop.v1.Order.Total',
    '1': 'shop.v1.Payment',
  })
})

test('a group is a message too; a file may be without a package', () => {
  const text = 'syntax = "proto2"; message A { optional group B = 1 { required int32 n = 1; } message C {} }'
  expect([...messageNames(text)]).toEqual([
    ['0', 'A'],
    ['0.0', 'A.B'],
    ['0.1', 'A.C'],
  ])
})

test.each(['', 'syntax = "proto3";', 'message A {', 'message A { } }', 'AAAA', '{"type":"record"}'])(
  'no file: %j',
  (text) => {
    expect(() => messageNames(text)).toThrow(
      expect.objectContaining({ code: 'SCHEMA_INVALID', kind: 'invalid' }) as Error,
    )
  },
)

test.each([
  [[0], [0]],
  [[1], [2, 2]],
  [
    [0, 0],
    [4, 0, 0],
  ],
  [
    [1, 70, 0],
    [6, 2, 0x8c, 1, 0],
  ],
])('the place %j is written as %j', (indexes, bytes) => {
  expect([...indexBytes(indexes)]).toEqual(bytes)
})
