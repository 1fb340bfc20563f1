// `npm run pack -- FOLDER`: every package that is published, as the tarball that would be. Packed from a copy, in which no output is left
// whose source is gone, with the licence, and with the Node that the packages need (the checkout itself brings its own). Needs a build.
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './setup.mjs'

const NODE = '>=24'
const OUTPUT = /\.(js|d\.ts)(\.map)?$/

/** @returns {{ name: string, folder: string, manifest: Record<string, any> }[]} in the order of their names */
export function published() {
  const folders = [
    'proto',
    ...readdirSync(join(root, 'libs')).map((name) => `libs/${name}`),
    ...readdirSync(join(root, 'apps')).map((name) => `apps/${name}`),
  ]
  return folders
    .filter((folder) => existsSync(join(root, folder, 'package.json')))
    .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) }))
    .filter(({ manifest }) => manifest.private !== true)
    .map(({ folder, manifest }) => ({ name: manifest.name, folder, manifest }))
}

/**
 * @param {string} to folder of the tarballs
 * @returns {{ name: string, version: string, tarball: string, unpacked: string, files: string[], manifest: Record<string, any> }[]}
 */
export function pack(to) {
  mkdirSync(to, { recursive: true })
  const copies = mkdtempSync(join(tmpdir(), 'weir-pack-'))
  const packages = published().map((of) => ({ ...of, copy: copied(of, join(copies, of.name.replace('/', '+'))) }))
  const args = [
    'pack',
    ...packages.map(({ copy }) => copy),
    '--json',
    '--ignore-scripts',
    '--pack-destination',
    resolve(to),
  ]
  const said = JSON.parse(
    execFileSync('npm', args, { cwd: copies, maxBuffer: 64 << 20, stdio: ['ignore', 'pipe', 'pipe'] }).toString(),
  )
  const made = Array.isArray(said) ? said : Object.values(said)
  return packages.map(({ name, copy, manifest }) => {
    const { filename, version, files } = made.find((one) => one.name === name)
    const tarball = join(resolve(to), filename.replace('@', '').replace('/', '-'))
    return { name, version, tarball, unpacked: copy, files: files.map(({ path }) => path), manifest }
  })
}

function copied({ folder, manifest }, to) {
  const from = join(root, folder)
  for (const part of ['package.json', 'README.md', ...(manifest.files ?? []).filter((name) => !name.startsWith('!'))]) {
    if (!existsSync(join(from, part))) continue
    cpSync(join(from, part), join(to, part), { recursive: true, filter: (path) => !isStale(from, path) })
  }
  cpSync(join(root, 'LICENSE'), join(to, 'LICENSE'))
  writeFileSync(
    join(to, 'package.json'),
    `${JSON.stringify({ ...manifest, engines: { node: NODE, ...manifest.engines } }, null, 2)}\n`,
  )
  return to
}

/** What a source made that is there no more. Bundles (the dashboard, programs, threads) have no source of their name. */
function isStale(from, path) {
  const at = relative(join(from, 'dist'), path)
  if (
    at.startsWith('..') ||
    /^(bundled|threads)\//.test(at) ||
    !OUTPUT.test(at) ||
    existsSync(join(from, 'index.html'))
  )
    return false
  return !['src', 'gen'].some((source) =>
    ['.ts', '.tsx'].some((ending) => existsSync(join(from, source, at.replace(OUTPUT, ending)))),
  )
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const to = process.argv[2]
  if (to === undefined) {
    console.error('say where to: npm run pack -- FOLDER')
    process.exit(2)
  }
  const packages = pack(to)
  for (const { tarball, files, unpacked } of packages) {
    console.log(`${tarball}  ${files.length} files`)
    rmSync(unpacked, { recursive: true, force: true })
  }
}
