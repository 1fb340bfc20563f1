/** Folders for state stores: under one, which is gone with the process. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

let root: string | null = null
let made = 0

export function newFolder(): string {
  if (root === null) {
    const folder = (root = mkdtempSync(join(tmpdir(), 'weir-test-')))
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  }
  return join(root, String(++made))
}
