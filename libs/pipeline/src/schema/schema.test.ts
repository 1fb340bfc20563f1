import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { plannedFormats, runningFormats } from '../formats.fixture.ts'
import { planned, running } from '../pairs.fixture.ts'
import { pipelineJsonSchema } from './pipeline.ts'

const published: unknown = JSON.parse(readFileSync(new URL('../../schema/pipeline.json', import.meta.url), 'utf8'))

test('the published schema is the one of the code (npm run generate:schemas)', () => {
  expect(published).toEqual(pipelineJsonSchema())
})

test('it takes every pipeline of the tests, and not one with a step that is misspelt', () => {
  const schema = z.fromJSONSchema(published as never)
  for (const [name, { yaml }] of Object.entries({ ...running, ...planned, ...runningFormats, ...plannedFormats }))
    expect({ name, ...schema.safeParse(parse(yaml)) }).toMatchObject({ name, success: true })
  const { yaml } = running['filter, map to fields']!
  expect(schema.safeParse(parse(yaml.replace('filter:', 'fliter:'))).success).toBe(false)
})

test('where a number stands, a parameter may', () => {
  const schema = z.fromJSONSchema(published as never)
  const of = (parallelism: unknown): boolean =>
    schema.safeParse({ version: 1, name: 'p', settings: { parallelism }, steps: [{ from: { log: { topic: 'a' } } }] })
      .success
  expect([of(4), of('${n}'), of('four'), of(1.5)]).toEqual([true, true, false, false])
})
