import { expect, test } from 'vitest'
import { readConfig } from './config.ts'

const copyBytesMax = (env: NodeJS.ProcessEnv): number =>
  readConfig({ WEIR_JOB_MANAGERS: '127.0.0.1:7070', ...env }).copyBytesMax

test('state is copied to the disk of the pod, but for what an object store in a folder has on one already', () => {
  expect(copyBytesMax({})).toBe(2 * 1024 ** 3)
  expect(copyBytesMax({ WEIR_OBJECTS_DIR: '/data/objects' })).toBe(0)
  expect(copyBytesMax({ WEIR_OBJECTS_DIR: '/nfs/objects', WEIR_LOCAL_COPY_BYTES: '1000' })).toBe(1_000)
  expect(copyBytesMax({ WEIR_LOCAL_COPY_BYTES: '0' })).toBe(0)
})
