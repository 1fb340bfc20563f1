// What every command does first on a fresh machine: install by the lock file, find the pinned Node, build.
// Plain JavaScript for the Node that is already there (20 or newer).
import { execFileSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

export function ensureInstalled() {
  const done = resolve(root, 'node_modules/.package-lock.json')
  const lock = resolve(root, 'package-lock.json')
  if (existsSync(done) && statSync(done).mtimeMs >= statSync(lock).mtimeMs) return
  console.error('weir: installing packages (npm ci)')
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: root, stdio: ['ignore', 2, 2] })
}

/** The pinned Node where the platform has one, else the running one if it is new enough. */
export function pinnedNode() {
  const pinned = resolve(root, `node_modules/node-${process.platform}-${process.arch}/bin/node`)
  if (existsSync(pinned)) return pinned
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath
  throw new Error(`weir needs Node 24 or newer on ${process.platform}-${process.arch}; this is ${process.version}`)
}

export function ensureBuilt() {
  execFileSync(pinnedNode(), ['tools/build.mjs'], { cwd: root, stdio: ['ignore', 2, 2] })
}
