import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { NODE_ENV, NODE_FLAGS, launchOf } from './fleet.ts'

test('processes that weir starts are started as those of the image, and what is set for one goes before that', () => {
  const image = readFileSync(new URL('../../../deploy/images/Dockerfile', import.meta.url), 'utf8')
  for (const flag of NODE_FLAGS) expect(image).toContain(`"${flag}"`)
  for (const [name, value] of Object.entries(NODE_ENV)) expect(image).toContain(`ENV ${name}=${value}\n`)
  const { args, env } = launchOf('task-manager', { WEIR_SLOTS: '2', MALLOC_ARENA_MAX: '4' })
  expect(args.slice(0, NODE_FLAGS.length)).toEqual(NODE_FLAGS)
  expect(env).toMatchObject({ WEIR_SLOTS: '2', MALLOC_ARENA_MAX: '4' })
  expect(launchOf('job-manager', {}).env).toMatchObject(NODE_ENV)
})
