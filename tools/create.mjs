// `npm run create -- FOLDER`: a project of your own, as `npm create weir` would make it, from this checkout: its packages lie in FOLDER/packages
// as tarballs, and package.json names those. For as long as the packages are on no registry.
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { pack } from './pack.mjs'
import { ensureBuilt, ensureInstalled, pinnedNode, root } from './setup.mjs'

/** As in apps/create-weir. */
const NODE_MIN = 24

/** Exit code 2: wrong usage, with what to do instead on stderr. */
async function main() {
  const [folder, ...others] = process.argv.slice(2)
  if (folder === undefined || folder.startsWith('-') || others.length > 0) {
    console.error('say where to, outside of this checkout: npm run create -- ../my-app')
    return 2
  }
  const target = resolve(process.env.INIT_CWD ?? process.cwd(), folder)
  if (`${target}/`.startsWith(root)) {
    console.error(
      `${folder} is inside this checkout, whose packages npm would take it for: npm run create -- ../my-app`,
    )
    return 2
  }
  ensureInstalled()
  ensureBuilt()
  execFileSync(pinnedNode(), [join(root, 'apps/create-weir/dist/main.js'), target], { stdio: 'inherit' })
  takeFromFolder(target, pack(join(target, 'packages')))
  console.log(`\nThe packages of Weir are in ${folder}/packages: commit them, they are on no registry yet.`)
  // Under `npm run` this is the pinned Node, which the project does not have: npm says which one it was started with.
  const version = /\bnode\/(v(\d+)\S*)/.exec(process.env.npm_config_user_agent ?? '')
  if (version !== null && Number(version[2]) < NODE_MIN)
    console.log(
      `The project needs Node ${NODE_MIN} or newer, and npm runs on ${version[1]}: install it first (nodejs.org, nvm, fnm).`,
    )
  return 0
}

/**
 * Changes the project's package.json and its image to install Weir's packages from its folder `packages`.
 * @param {string} target
 * @param {{ name: string, tarball: string, unpacked: string }[]} packages
 */
function takeFromFolder(target, packages) {
  const from = Object.fromEntries(packages.map(({ name, tarball }) => [name, `file:packages/${basename(tarball)}`]))
  for (const { unpacked } of packages) rmSync(unpacked, { recursive: true, force: true })
  const path = join(target, 'package.json')
  const manifest = JSON.parse(readFileSync(path, 'utf8'))
  for (const wanted of [manifest.dependencies, manifest.devDependencies])
    for (const name of Object.keys(wanted)) wanted[name] = from[name] ?? wanted[name]
  // What they need of each other is there as well.
  manifest.overrides = Object.fromEntries(
    Object.entries(from).map(([name, file]) => [
      name,
      manifest.dependencies[name] || manifest.devDependencies[name] ? `$${name}` : file,
    ]),
  )
  writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`)
  const image = join(target, 'deploy/Dockerfile')
  const copy = 'COPY package.json package-lock.json ./\n'
  const text = readFileSync(image, 'utf8')
  if (!text.includes(copy)) throw new Error(`deploy/Dockerfile of the template has no line ${copy.trim()}`)
  writeFileSync(image, text.replace(copy, `${copy}COPY packages ./packages\n`))
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) process.exitCode = await main()
