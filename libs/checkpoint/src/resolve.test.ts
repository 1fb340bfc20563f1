import { attempt, digest, epoch, generation } from '@weir/model'
import { expect, test } from 'vitest'
import type { ManifestRef } from './manifest.ts'
import { highestPublished, resolveCheckpoint } from './resolve.ts'

const ref = (e: number, g: number): ManifestRef => ({
  epoch: epoch(e),
  generation: generation(g),
  attempt: attempt(1),
  key: `${e}`,
  digest: digest(`${e}-${g}`),
  parentEpoch: epoch(e - 1),
})

test('A1: the highest epoch wins, whatever generation the other arbiter carries', () => {
  expect(highestPublished(ref(1, 1), ref(0, 2))).toEqual(ref(1, 1))
  expect(highestPublished(ref(1, 1), ref(2, 1))).toEqual(ref(2, 1))
  expect(highestPublished(null, ref(2, 1))).toEqual(ref(2, 1))
  expect(highestPublished(null, null)).toBeNull()
})

test('status follows from what exists', () => {
  const observed = { etcdHead: ref(5, 2), mirrorHead: ref(4, 2), confirmed: epoch(4) }
  expect([4, 5, 6].map((n) => resolveCheckpoint(epoch(n), observed))).toEqual(['final', 'restorable', 'unpublished'])
})
