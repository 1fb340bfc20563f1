import { expect, test } from 'vitest'
import { Fencing, InOrder, NoDuplicate, NoLoss, StuckReader, broken, type Act, type Checker } from './index.ts'

const after = <C extends Checker>(checker: C, feed: (c: C) => void): string[] => {
  feed(checker)
  return broken(checker)
}
const outputs = new Map([
  ['a', 1],
  ['b', 2],
])

test.each<[string, string[], string[], string[]]>([
  ['all there', ['b', 'a', 'b'], [], []],
  ['one missing', ['a', 'b'], ['NoLoss: b is missing'], []],
  ['nothing there', [], ['NoLoss: a is missing', 'NoLoss: b is missing', 'NoLoss: b is missing'], []],
  ['one twice', ['a', 'a', 'b', 'b'], [], ['NoDuplicate: a 2 times']],
  ['one from nowhere', ['a', 'b', 'b', 'c'], [], ['NoDuplicate: c was never due']],
])('outputs: %s', (_, seen, lost, duplicate) => {
  const feed = (c: NoLoss | NoDuplicate): void => seen.forEach((o) => c.saw(o))
  expect(after(new NoLoss(outputs), feed)).toEqual(lost)
  expect(after(new NoDuplicate(outputs), feed)).toEqual(duplicate)
})

const publish = (epoch: number, generation: number, manifest: string, arbiter = 'etcd'): Act => ({
  ...{ act: 'publish', jobId: 'j', arbiter, epoch, generation, manifest },
})
const append = (producerEpoch: number, partition = 't/0'): Act => ({
  ...{ act: 'append', partition, producerId: '7', producerEpoch },
})
test.each<[string, Act[], string[]]>([
  [
    'a leader follows another one and writes its last epoch',
    [{ act: 'lead', generation: 1 }, publish(1, 1, 'x'), { act: 'lead', generation: 2 }, publish(2, 1, 'y')],
    [],
  ],
  ['one epoch at two arbiters', [publish(1, 1, 'x'), publish(1, 1, 'x', 's3')], []],
  ['the same publish again', [publish(1, 1, 'x'), publish(1, 1, 'x')], []],
  [
    'a replaced leader publishes',
    [publish(1, 1, 'x'), publish(2, 2, 'y'), publish(3, 1, 'z')],
    ['Fencing: etcd: epoch 3 of j by generation 1 came after generation 2'],
  ],
  [
    'a late publish sets the head back',
    [publish(2, 1, 'y'), publish(1, 1, 'x')],
    ['Fencing: etcd: epoch 1 of j by generation 1 replaced epoch 2'],
  ],
  [
    'a fork over two arbiters',
    [publish(1, 1, 'x'), publish(1, 2, 'y', 's3')],
    ['Fencing: s3: epoch 1 of j by generation 2: two manifests, x and y'],
  ],
  [
    'a generation is used twice',
    [
      { act: 'lead', generation: 2 },
      { act: 'lead', generation: 2 },
    ],
    ['Fencing: generation 2 led after 2'],
  ],
  ['a producer goes on in each partition', [append(1), append(2), append(1, 't/1')], []],
  ['a fenced producer writes', [append(2), append(1)], ['Fencing: t/0: producer 7 wrote with epoch 1 after 2']],
])('fencing: %s', (_, acts, found) => {
  expect(after(new Fencing(), (c) => acts.forEach((a) => c.accepted(a)))).toEqual(found)
})

test('readers: stuck only where they stop before the end', () => {
  const found = after(new StuckReader(), (c) => {
    c.saw('t/0', 7n, 7n)
    c.saw('t/1', 7n, 9n)
  })
  expect(found).toEqual(['StuckReader: t/1: readers stop at 7, the log ends at 9'])
})

test('order: swapped, repeated and skipped outputs are named', () => {
  const found = after(new InOrder(), (c) => [1, 2, 4, 4, 3].forEach((n) => c.saw('k', n)))
  expect(found).toEqual(['InOrder: k: 4 after 2', 'InOrder: k: 4 after 4', 'InOrder: k: 3 after 4'])
})

test('many violations: all are counted, few are told', () => {
  const { violations, examples } = new NoLoss(new Set(Array.from({ length: 50 }, (_, i) => String(i)))).verdict()
  expect([violations, examples.length]).toEqual([50, 10])
})
