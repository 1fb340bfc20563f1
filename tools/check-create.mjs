// `npm run check:create`: the first minute of a new user, from the tarballs that would be published. In an empty folder: npm create weir, npm
// install, npm test, npm run typecheck, npm run dev with its dashboard. Packages of Weir come from a registry of this script's own, the
// others from yours. Needs a build, and Node 24 or newer. The limit is generous; how long it took is said.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { pack } from './pack.mjs'
import { pinnedNode, root } from './setup.mjs'

const STEP_TIMEOUT_MS = 300_000
const home = mkdtempSync(join(tmpdir(), 'weir-create-'))
const packages = pack(join(home, 'tarballs'))
const registry = createServer(answer)
registry.listen(0, '127.0.0.1')
await once(registry, 'listening')
const url = `http://127.0.0.1:${registry.address().port}`

// The pinned Node is the user's `node`.
mkdirSync(join(home, 'bin'))
symlinkSync(pinnedNode(), join(home, 'bin/node'))
writeFileSync(join(home, '.npmrc'), `@weir:registry=${url}/\n`)
const env = {
  ...process.env,
  PATH: `${join(home, 'bin')}:${process.env.PATH}`,
  npm_config_fund: 'false',
  npm_config_audit: 'false',
}
for (const name of Object.keys(env))
  if (/^npm_(package|lifecycle|command|execpath)|^(INIT_CWD|NODE_OPTIONS|NODE_PATH)$/.test(name)) delete env[name]

const project = join(home, 'shop')
const began = Date.now()
const took = []
try {
  const creator = packages.find(({ name }) => name === 'create-weir').tarball
  await step('npm create weir', home, ['exec', '--yes', `--package=${creator}`, '--', 'create-weir', 'shop'])
  writeFileSync(join(project, '.npmrc'), `@weir:registry=${url}/\n`)
  await step('npm install', project, ['install'])
  await step('npm test', project, ['test'])
  await step('npm run typecheck', project, ['run', 'typecheck'])
  await dev()
  await fromCheckout()
  console.log(`${took.join(', ')}: ${seconds(began)} s in all`)
} finally {
  registry.closeAllConnections()
  registry.close()
  rmSync(home, { recursive: true, force: true })
}

async function step(name, cwd, args) {
  const from = Date.now()
  const child = spawn('npm', args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: STEP_TIMEOUT_MS })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (said += data))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${name}: exit code ${code}\n${said.slice(-6_000)}`)
  took.push(`${name} ${seconds(from)} s`)
}

/** The job runs, its dashboard is there, and Ctrl-C ends it. */
async function dev() {
  const from = Date.now()
  const child = spawn('npm', ['run', 'dev'], { cwd: project, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let said = ''
  child.stdout.on('data', (data) => (said += data))
  const timer = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), STEP_TIMEOUT_MS)
  let dashboard = null
  let running = false
  for await (const line of createInterface({ input: child.stderr })) {
    said += `${line}\n`
    dashboard ??= /dashboard at (http:[^\s,;]+)/.exec(line)?.[1] ?? null
    const records = /^RUNNING +(\d+) records\/s +epoch (\d+)/.exec(line)
    running = records !== null && Number(records[1]) > 0 && Number(records[2]) > 0
    if (dashboard === null || !running) continue
    const page = await fetch(dashboard)
    const text = await page.text()
    if (page.status !== 200 || !/<script type="module"/.test(text))
      throw new Error(`the dashboard answers ${page.status}: ${text.slice(0, 200)}`)
    took.push(`npm run dev ${seconds(from)} s`)
    process.kill(-child.pid, 'SIGINT')
    break
  }
  child.stderr.resume()
  if (child.exitCode === null) await once(child, 'close')
  clearTimeout(timer)
  if (!running) throw new Error(`npm run dev ended before its job ran:\n${said.slice(-6_000)}`)
}

/** `npm run create`: the same project, whose packages are in it and on no registry. */
async function fromCheckout() {
  const from = Date.now()
  const own = join(home, 'own')
  await step('npm run create', root, ['run', 'create', '--', own])
  await step('npm install of it', own, ['install', `--@weir:registry=http://127.0.0.1:1`])
  await step('npm test of it', own, ['test'])
  took.push(`a project of the checkout ${seconds(from)} s`)
}

function seconds(from) {
  return ((Date.now() - from) / 1_000).toFixed(1)
}

/** What npm asks of a registry: a package's versions, and a tarball. */
function answer(request, response) {
  const path = decodeURIComponent(new URL(request.url, url).pathname).slice(1)
  const file = packages.find(({ tarball }) => `-/${basename(tarball)}` === path)
  if (file) return void response.end(readFileSync(file.tarball))
  const of = packages.find(({ name }) => name === path)
  if (!of) return void response.writeHead(404).end('{}')
  const { name, version, manifest, tarball } = of
  const integrity = `sha512-${createHash('sha512').update(readFileSync(tarball)).digest('base64')}`
  const dist = { tarball: `${url}/-/${basename(tarball)}`, integrity }
  const packument = { name, 'dist-tags': { latest: version }, versions: { [version]: { ...manifest, dist } } }
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(packument))
}
