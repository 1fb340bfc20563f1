import { operatorUid } from '@weir/model'
import { expect, test } from 'vitest'
import { MemoryObjects, openStore } from './fixture.ts'
import { pack, unpack } from './pack.ts'

test('outside of development too, the first values of a state are looked at: can they be stored, and who changes them', async () => {
  class Money {
    readonly minor = 5
    get major(): number {
      return this.minor / 100
    }
  }
  const a = await openStore(new MemoryObjects(), { freeze: false })
  const s = a.keyed<unknown>(operatorUid('sum'), 'acc')
  for (const wrong of [new Money(), { price: new Money() }, { f: () => 1 }, { later: Promise.resolve(1) }])
    expect(() => s.put('k', wrong)).toThrow(expect.objectContaining({ code: 'STATE_VALUE_UNSERIALISABLE' }) as Error)
  s.put('k', { list: [1] })
  expect(() => (s.get('k') as { list: number[] }).list.push(2)).toThrow(TypeError)
  await a.close()
})

test('what no sample has seen is refused where it is stored, instead of coming back as something else', () => {
  expect(() =>
    pack({
      price: new (class Money {
        major() {}
      })(),
    }),
  ).toThrow('Money')
  expect(() => pack({ f: () => 1 })).toThrow('function')
  expect(unpack(pack({ a: [1, { b: new Date(5) }], c: new Map([[1, 2n]]) }))).toEqual({
    ...{ a: [1, { b: new Date(5) }], c: new Map([[1, 2n]]) },
  })
})
