// npm run stack -- up|down|status: the real servers (Kafka, etcd, S3, Redis, PostgreSQL) as local processes on loopback, on free
// ports. Installed once per user (cache), started once per checkout (.weir/stack), stopped by the pids they were started
// with. Plain JavaScript, Node 20.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { POSTGRES_LOGIN } from './postgres.mjs'
import { need, say } from '../install.mjs'
import { READY_TIMEOUT_MS, S3_KEYS, answers, freePorts, launchServer, servers, sleep, startTime } from './servers.mjs'

const STOP_TIMEOUT_MS = 15_000

const root = fileURLToPath(new URL('../..', import.meta.url))
const dir = join(root, '.weir/stack')
const endpointsFile = join(root, '.weir/stack.json')

// ---- processes ------------------------------------------------------------------------------------------------------

const recordFile = (name) => join(dir, `${name}.json`)

function running(name) {
  if (!existsSync(recordFile(name))) return null
  const record = JSON.parse(readFileSync(recordFile(name), 'utf8'))
  return startTime(record.pid) === record.start ? record : null
}

async function start(name) {
  const there = running(name)
  if (there) return say(`${name} runs already (pid ${there.pid})`)
  servers[name].install()
  mkdirSync(dir, { recursive: true })
  const logFile = join(dir, `${name}.log`)
  const log = openSync(logFile, 'w')
  const launch = await servers[name].prepare(dir, log)
  const { endpoint } = launch
  const { stopSignal } = launch
  const recorded = ({ pid }) =>
    writeFileSync(recordFile(name), JSON.stringify({ endpoint, pid, start: startTime(pid), stopSignal }))
  const child = await launchServer(name, launch, log, recorded).catch((error) => {
    throw new Error(`${error.message}; see ${logFile}`)
  })
  say(`${name} at ${endpoint.url ?? endpoint} (pid ${child.pid})`)
}

async function stop(name) {
  const record = running(name)
  if (record) {
    process.kill(record.pid, record.stopSignal ?? 'SIGTERM')
    for (let waited = 0; running(name) && waited < STOP_TIMEOUT_MS; waited += 50) await sleep(50)
    if (running(name)) process.kill(record.pid, 'SIGKILL')
    say(`${name} (pid ${record.pid}) stopped`)
  }
  rmSync(recordFile(name), { force: true })
}

// ---- containers -----------------------------------------------------------------------------------------------------

const composeFile = join(root, 'deploy/stack/compose.yml')
const containersFile = join(dir, 'containers.json')
const containers = () => (existsSync(containersFile) ? JSON.parse(readFileSync(containersFile, 'utf8')) : null)

/** A docker binary may be there without an engine: only `docker info` tells. WEIR_STACK=processes: never containers. */
function dockerAnswers() {
  if (process.env.WEIR_STACK === 'processes') return false
  try {
    execFileSync('docker', ['info'], { stdio: 'ignore', timeout: 5_000 })
    return true
  } catch {
    return false
  }
}

const compose = (env, ...args) =>
  execFileSync('docker', ['compose', '-p', env.PROJECT, '-f', composeFile, ...args], {
    stdio: ['ignore', 2, 2],
    env: { ...process.env, ...env },
  })

/** False: it could not be done (no images, say); then processes are started. */
async function startContainers() {
  const [kafka, kafkaV1, etcd, s3, redis, postgres] = await freePorts(6)
  const ports = {
    KAFKA_PORT: kafka,
    KAFKA_V1_PORT: kafkaV1,
    ETCD_PORT: etcd,
    S3_PORT: s3,
    REDIS_PORT: redis,
    POSTGRES_PORT: postgres,
  }
  const env = { PROJECT: `weir-stack-${kafka}` }
  for (const [name, port] of Object.entries(ports)) env[name] = String(port)
  mkdirSync(dir, { recursive: true })
  try {
    compose(env, 'up', '-d', '--wait')
  } catch (error) {
    say(`docker compose failed (${error.message.split('\n')[0]}); starting processes instead`)
    try {
      compose(env, 'down', '-v')
    } catch {
      // nothing was started
    }
    return false
  }
  const { user, password, database } = POSTGRES_LOGIN
  const endpoints = {
    kafka: `127.0.0.1:${kafka}`,
    kafkaV1: `127.0.0.1:${kafkaV1}`,
    etcd: `127.0.0.1:${etcd}`,
    s3: { url: `http://127.0.0.1:${s3}`, ...S3_KEYS },
    redis: `127.0.0.1:${redis}`,
    postgres: `postgres://${user}:${password}@127.0.0.1:${postgres}/${database}`,
  }
  writeFileSync(containersFile, JSON.stringify({ env, endpoints }))
  need('kcat', '-V', ['kcat'])
  const ready = () => answers(`${endpoints.s3.url}/health`)
  for (const deadline = Date.now() + READY_TIMEOUT_MS; !(await ready()) && Date.now() < deadline;) await sleep(100)
  say(`containers of ${env.PROJECT} run`)
  return true
}

function stopContainers() {
  const there = containers()
  if (there === null) return
  compose(there.env, 'down', '-v')
  rmSync(containersFile, { force: true })
}

// ---- verbs ----------------------------------------------------------------------------------------------------------

const names = Object.keys(servers)
const [verb] = process.argv.slice(2)
if (verb === 'up') {
  const any = names.some((name) => running(name) !== null)
  if (containers() !== null) say(`containers of ${containers().env.PROJECT} run already`)
  else if (any || !dockerAnswers() || !(await startContainers())) for (const name of names) await start(name)
  const endpoints = containers()?.endpoints ?? Object.fromEntries(names.map((name) => [name, running(name).endpoint]))
  writeFileSync(endpointsFile, JSON.stringify(endpoints, null, 2))
} else if (verb === 'down') {
  rmSync(endpointsFile, { force: true })
  stopContainers()
  await Promise.all(names.map(stop))
} else if (verb === 'status') {
  const there = containers()
  const entries = names.map((name) => [
    name,
    there ? { endpoint: there.endpoints[name], containers: there.env.PROJECT } : running(name),
  ])
  console.log(JSON.stringify(Object.fromEntries(entries)))
} else {
  console.error('usage: npm run stack -- up|down|status')
  process.exit(2)
}
