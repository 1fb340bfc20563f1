// What every command does first on a fresh machine: install by the lock file, find the pinned Node, build.
// Plain JavaScript for the Node that is already there (20 or newer).
import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, utimesSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

export function ensureInstalled() {
  const done = resolve(root, 'node_modules/.package-lock.json')
  const lock = resolve(root, 'package-lock.json')
  if (existsSync(done) && statSync(done).mtimeMs >= statSync(lock).mtimeMs) return
  if (existsSync(done) && onlyRoomsDiffer(done, lock)) {
    linkRooms()
    utimesSync(done, new Date(), new Date())
    return
  }
  console.error('weir: installing packages (npm ci)')
  // Warnings are of engines (what runs is the pinned Node) and of scripts that nothing here needs.
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: root, stdio: ['ignore', 2, 2] })
}

const packagesOf = (file) => JSON.parse(readFileSync(file, 'utf8')).packages

/** Every package from outside is installed as the lock says. */
function onlyRoomsDiffer(done, lock) {
  const [installed, wanted] = [packagesOf(done), packagesOf(lock)]
  return Object.entries(wanted).every(
    ([path, { link, version, optional }]) =>
      !path.startsWith('node_modules/') ||
      link ||
      installed[path]?.version === version ||
      (optional && !installed[path]),
  )
}

/** A room that is new since the last install is found by its name, as npm would have it. */
export function linkRooms() {
  for (const [path, { link, resolved }] of Object.entries(packagesOf(resolve(root, 'package-lock.json')))) {
    if (!link) continue
    const [at, target] = [resolve(root, path), resolve(root, resolved)]
    if (existsSync(at) || !existsSync(target)) continue
    if (lstatSync(at, { throwIfNoEntry: false })) rmSync(at)
    mkdirSync(dirname(at), { recursive: true })
    symlinkSync(relative(dirname(at), target), at)
  }
}

/** The pinned Node where the platform has one, else the running one if it is new enough. */
export function pinnedNode() {
  const pinned = resolve(root, `node_modules/node-${process.platform}-${process.arch}/bin/node`)
  if (existsSync(pinned)) return pinned
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath
  throw new Error(`weir needs Node 24 or newer on ${process.platform}-${process.arch}; this is ${process.version}`)
}

export function ensureBuilt() {
  if (!existsSync(resolve(root, 'apps/cli/dist/main.js'))) console.error('weir: building')
  execFileSync(pinnedNode(), ['tools/build.mjs'], { cwd: root, stdio: ['ignore', 2, 2] })
}
