import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { machineFacts } from './machine-facts.ts'

test('what this machine allows; of a folder that is not there yet, the disk it will be on', async () => {
  const facts = await machineFacts('here', join(tmpdir(), 'not-there', 'nor-here'))
  expect(facts).toMatchObject({ name: 'here', node: process.versions.node, disk: { folder: tmpdir() } })
  expect(facts.disk!.freeBytes).toBeGreaterThan(0)
  if (process.platform === 'linux') expect(facts.openFilesMax).toBeGreaterThan(0)
})
