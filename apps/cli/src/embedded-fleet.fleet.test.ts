import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { EmbeddedFleet } from './embedded-fleet.ts'

test('where a task-manager cannot start, no process stays behind', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'weir-fleet-'))
  try {
    await writeFile(join(folder, 'tm-0'), 'where its data should go')
    await expect(EmbeddedFleet.start({ taskManagers: 1, slots: 1, folder })).rejects.toThrow(
      expect.objectContaining({ code: 'PROCESS_NOT_READY' }),
    )
    // The job-manager of before would still have the database.
    await (await EmbeddedFleet.start({ taskManagers: 0, slots: 1, folder })).stop()
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('where the job-manager cannot start, the folder of the fleet is gone', async () => {
  const temporary = await mkdtemp(join(tmpdir(), 'weir-fleet-'))
  vi.stubEnv('TMPDIR', temporary)
  try {
    await expect(EmbeddedFleet.start({ taskManagers: 0, slots: 1, retainedMin: 0 })).rejects.toThrow(
      /WEIR_RETAINED_MIN/,
    )
    expect(await readdir(temporary)).toEqual([])
  } finally {
    vi.unstubAllEnvs()
    await rm(temporary, { recursive: true, force: true })
  }
})
