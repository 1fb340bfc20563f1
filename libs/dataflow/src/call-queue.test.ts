import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CallQueue, type CallMode, type Slot } from './call-queue.ts'

/** Records are words, watermarks `|5`; `back` names what a call has come back with. */
function queueOf(mode: CallMode, capacity = 100) {
  const queue = new CallQueue<string>(mode, capacity)
  const called = new Map<string, Slot<string>>()
  const start = (): void => {
    for (let slot = queue.next(); slot !== undefined; slot = queue.next()) called.set(slot.input, slot)
  }
  const taken: string[] = []
  return {
    queue,
    called,
    taken,
    in(...words: string[]) {
      for (const word of words) {
        if (!word.startsWith('|')) queue.push(word)
        else if (queue.isEmpty) taken.push(word)
        else queue.watermark(Number(word.slice(1)))
      }
      start()
    },
    back(...words: string[]): string[] {
      for (const word of words) queue.back(called.get(word)!, { value: word })
      const from = taken.length
      for (let of = queue.take(); of !== undefined; of = queue.take())
        taken.push(of.kind === 'record' ? of.slot.input : `|${of.timestamp}`)
      start()
      return taken.slice(from)
    },
  }
}

test('ordered: what has come back waits for what came in before it', () => {
  const calls = queueOf('ordered')
  calls.in('a', 'b', '|5', 'c')
  expect(calls.back('c', 'b')).toEqual([])
  expect(calls.back('a')).toEqual(['a', 'b', '|5', 'c'])
  expect(calls.queue.isEmpty).toBe(true)
})

test('unordered: as they come back, and not across a watermark', () => {
  const calls = queueOf('unordered')
  calls.in('a', 'b', '|5', 'c', 'd', '|7', 'e')
  expect(calls.back('d')).toEqual([])
  expect(calls.back('b')).toEqual(['b'])
  expect(calls.back('e', 'a')).toEqual(['a', '|5', 'd'])
  expect(calls.back('c')).toEqual(['c', '|7', 'e'])
})

test('a newer watermark behind the same records takes the place of the older one', () => {
  const calls = queueOf('unordered')
  calls.in('a', '|5', '|6')
  expect(calls.back('a')).toEqual(['a', '|6'])
})

test('no more are called at once than there is room for; what has come back and waits for its turn has its place', () => {
  const calls = queueOf('ordered', 2)
  calls.in('a', 'b', 'c', 'd')
  expect([...calls.called.keys()]).toEqual(['a', 'b'])
  expect(calls.queue.waiting).toBe(2)
  expect(calls.back('b')).toEqual([])
  expect(calls.called.has('c')).toBe(false)
  expect(calls.back('a')).toEqual(['a', 'b'])
  expect([...calls.called.keys()]).toEqual(['a', 'b', 'c', 'd'])
})

const word = fc.oneof(fc.constant('r'), fc.constant('r'), fc.constant('|'))
test('whatever comes in and comes back when: each once, behind the watermarks it was behind, ordered where asked for', () => {
  fc.assert(
    fc.property(
      fc.constantFrom<CallMode>('ordered', 'unordered'),
      fc.integer({ min: 1, max: 5 }),
      fc.array(word, { maxLength: 40 }),
      fc.infiniteStream(fc.nat(1_000)),
      (mode, capacity, words, chance) => {
        const calls = queueOf(mode, capacity)
        const random = (below: number): number => (chance.next().value as number) % below
        const input = words.map((of, i) => (of === 'r' ? `r${i}` : `|${i}`))
        const out = new Set<string>()
        const comeBack = (): void => {
          const open = [...calls.called.keys()].filter((of) => !out.has(of))
          expect(open.length).toBeLessThanOrEqual(capacity)
          if (open.length === 0) return
          const of = open[random(open.length)]!
          out.add(of)
          calls.back(of)
        }
        for (const of of input) {
          calls.in(of)
          while (random(3) === 0) comeBack()
        }
        while (!calls.queue.isEmpty) comeBack()
        const records = (of: readonly string[]): string[] => of.filter((x) => x.startsWith('r'))
        if (mode === 'ordered') expect(records(calls.taken)).toEqual(records(input))
        expect(records(calls.taken).sort()).toEqual(records(input).sort())
        // Behind the newest watermark that was in front of it, and in front of every later one.
        const at = (of: string): number => Number(of.slice(1))
        let newest = -1
        for (const of of calls.taken) {
          if (of.startsWith('|')) newest = at(of)
          else expect(newest).toBeLessThan(at(of))
        }
        const last = new Map<string, number>()
        calls.taken.forEach((of, i) => last.set(of, i))
        for (const [of, i] of last) {
          if (!of.startsWith('|')) continue
          for (const r of records(input)) if (at(r) < at(of)) expect(last.get(r)).toBeLessThan(i)
        }
        const lastMark = input.findLast((of) => of.startsWith('|'))
        if (lastMark !== undefined) expect(calls.taken).toContain(lastMark)
      },
    ),
  )
})
