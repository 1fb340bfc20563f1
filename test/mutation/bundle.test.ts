import { expect, test } from 'vitest'
import { readFile } from 'node:fs/promises'
import { allRules } from '../simulation/mutants.ts'
import { bundle, load, type Mutant } from './bundle.ts'

const file = 'libs/checkpoint/src/resolve.ts'
const mutant: Mutant = {
  hole: 'A1',
  rule: 'the highest epoch wins',
  file,
  find: 'return b.epoch > a.epoch ? b : a',
  replace: 'return b.generation > a.generation ? b : a',
}
const [older, newer] = [
  { epoch: 2, generation: 1 },
  { epoch: 1, generation: 2 },
]
type Resolve = { highestPublished(a: unknown, b: unknown): unknown }

test('a mutant changes what its file does, and only in the module that was loaded with it', async () => {
  const mutated = await load<Resolve>(file, mutant)
  expect(mutated.highestPublished(older, newer)).toBe(newer)
  const real = await load<Resolve>(file)
  expect(real.highestPublished(older, newer)).toBe(older)
})

test('a mutant whose text has moved on is an error', async () => {
  await expect(bundle(file, [{ ...mutant, find: 'no such text' }])).rejects.toThrow(/occurs 0 times/)
  await expect(bundle(file, [{ ...mutant, find: 'return' }])).rejects.toThrow(/expected once/)
})

test.each(Object.entries(allRules))(
  '%s: its text is where it should be, also where no test removes it',
  async (_, mutants) => {
    for (const { file, find } of mutants) expect((await readFile(file, 'utf8')).split(find)).toHaveLength(2)
  },
)

test('a mutant of a file that is not used is an error', async () => {
  await expect(bundle('libs/model/src/ids.ts', [mutant])).rejects.toThrow(/does not use/)
})

test('a whole room is bundled with the rooms below it', async () => {
  const real = await load<{ stepJob: unknown }>('libs/job/src/machine.ts')
  expect(typeof real.stepJob).toBe('function')
})
