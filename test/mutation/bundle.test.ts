import { expect, test } from 'vitest'
import { readFile } from 'node:fs/promises'
import { allRules } from '../simulation/mutants.ts'
import { bundle, load, type Mutant } from './bundle.ts'

const file = 'libs/model/src/ids.ts'
const mutant: Mutant = {
  hole: 'A20',
  rule: 'a barrier is named by its attempt, too',
  file,
  find: 'a.epoch === b.epoch && sameAttempt(a, b)',
  replace: 'a.epoch === b.epoch',
}
const [one, another] = [
  { epoch: 1, generation: 1, attempt: 1 },
  { epoch: 1, generation: 1, attempt: 2 },
]
type Ids = { sameCheckpoint(a: unknown, b: unknown): boolean }

test('a mutant changes what its file does, and only in the module that was loaded with it', async () => {
  const mutated = await load<Ids>(file, mutant)
  expect(mutated.sameCheckpoint(one, another)).toBe(true)
  const real = await load<Ids>(file)
  expect(real.sameCheckpoint(one, another)).toBe(false)
})

test('a mutant whose text has moved on is an error', async () => {
  await expect(bundle(file, [{ ...mutant, find: 'no such text' }])).rejects.toThrow(/occurs 0 times/)
  await expect(bundle(file, [{ ...mutant, find: 'sameAttempt' }])).rejects.toThrow(/expected once/)
})

test.each(Object.entries(allRules))(
  '%s: its text is where it should be, also where no test removes it',
  async (_, mutants) => {
    for (const { file, find } of mutants) expect((await readFile(file, 'utf8')).split(find)).toHaveLength(2)
  },
)

test('a mutant of a file that is not used is an error', async () => {
  await expect(bundle('libs/model/src/errors.ts', [mutant])).rejects.toThrow(/does not use/)
})

test('a whole room is bundled with the rooms below it', async () => {
  const real = await load<{ stepJob: unknown }>('libs/job/src/machine.ts')
  expect(typeof real.stepJob).toBe('function')
})
