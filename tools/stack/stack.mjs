// npm run stack -- up|down|status: the real Kafka as a local process on loopback, on free ports. Installed once per user
// (cache), started once per checkout (.weir/stack), stopped by the pid it was started with. Plain JavaScript, Node 20.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const KAFKA = '4.3.1'
const LOG4J = '2.25.4'
const CLUSTER_ID = 'V0VJUi1URVNULVNUQUNLLQ'
const READY_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 15_000

const root = fileURLToPath(new URL('../..', import.meta.url))
const cache = process.env.WEIR_STACK_DIR ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'weir-stack')
const kafkaHome = join(cache, 'kafka', KAFKA)
const dir = join(root, '.weir/stack')
const recordFile = join(dir, 'kafka.json')
const endpointsFile = join(root, '.weir/stack.json')
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const say = (text) => console.error(`[stack] ${text}`)

const has = (command, ...args) => {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch (error) {
    return error.code !== 'ENOENT'
  }
}

/** Installs Debian packages where this user may, else says what to install. */
function need(command, probe, packages) {
  if (has(command, probe)) return
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n']
  const apt = (...args) => {
    const [program, ...rest] = [...sudo, 'env', 'RUNLEVEL=1', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', ...args]
    execFileSync(program, rest, { stdio: ['ignore', 'ignore', 'ignore'] })
  }
  try {
    say(`installing ${packages.join(' ')}`)
    apt('update', '-qq')
    apt('install', '-y', '-qq', '--no-install-recommends', ...packages)
  } catch {
    // the check below says what is missing
  }
  if (!has(command, probe)) {
    say(`"${command}" is missing. Install it: apt-get install ${packages.join(' ')}`)
    process.exit(1)
  }
}

function install() {
  need('java', '-version', ['openjdk-17-jre-headless'])
  need('kcat', '-V', ['kcat'])
  if (existsSync(join(kafkaHome, '.ok'))) return
  need('mvn', '-v', ['maven'])
  say(`fetching Kafka ${KAFKA}`)
  mkdirSync(join(kafkaHome, 'libs'), { recursive: true })
  const dependency = (group, artifact, version) =>
    `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`
  writeFileSync(
    join(kafkaHome, 'pom.xml'),
    `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>weir.stack</groupId>` +
      `<artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging><dependencies>` +
      dependency('org.apache.kafka', 'kafka_2.13', KAFKA) +
      dependency('org.apache.logging.log4j', 'log4j-slf4j-impl', LOG4J) +
      `</dependencies></project>`,
  )
  const args = [
    '-q',
    '-B',
    '-f',
    join(kafkaHome, 'pom.xml'),
    'dependency:copy-dependencies',
    '-DincludeScope=runtime',
    `-DoutputDirectory=${join(kafkaHome, 'libs')}`,
  ]
  execFileSync('mvn', args, { stdio: ['ignore', 2, 2] })
  writeFileSync(join(kafkaHome, '.ok'), `${readdirSync(join(kafkaHome, 'libs')).length} jars\n`)
}

/** Kernel start time of a pid: a number alone may have been given to another process. Null = not running. */
function startTime(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    return fields[0] === 'Z' ? null : fields[19]
  } catch {
    return null
  }
}

function running() {
  if (!existsSync(recordFile)) return null
  const record = JSON.parse(readFileSync(recordFile, 'utf8'))
  return startTime(record.pid) === record.start ? record : null
}

async function freePorts(n) {
  const servers = await Promise.all(
    Array.from(
      { length: n },
      () =>
        new Promise((resolve) => {
          const server = net.createServer().listen(0, '127.0.0.1', () => resolve(server))
        }),
    ),
  )
  const ports = servers.map((s) => s.address().port)
  await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))))
  return ports
}

async function up() {
  const there = running()
  if (there) return say(`Kafka runs already at ${there.kafka} (pid ${there.pid})`)
  install()
  const [port, controller] = await freePorts(2)
  const data = join(dir, 'kafka-data')
  rmSync(data, { recursive: true, force: true })
  mkdirSync(data, { recursive: true })
  const properties = join(dir, 'kafka.properties')
  writeFileSync(
    properties,
    [
      'process.roles=broker,controller',
      'node.id=1',
      `controller.quorum.voters=1@127.0.0.1:${controller}`,
      `listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
      `advertised.listeners=PLAINTEXT://127.0.0.1:${port}`,
      'inter.broker.listener.name=PLAINTEXT',
      'controller.listener.names=CONTROLLER',
      'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
      `log.dirs=${data}`,
      'default.replication.factor=1',
      'offsets.topic.replication.factor=1',
      'offsets.topic.num.partitions=4',
      'transaction.state.log.replication.factor=1',
      'transaction.state.log.min.isr=1',
      'transaction.state.log.num.partitions=4',
      'transaction.max.timeout.ms=900000',
      'transaction.abort.timed.out.transaction.cleanup.interval.ms=1000',
      'share.coordinator.state.topic.replication.factor=1',
      'share.coordinator.state.topic.min.isr=1',
      'group.initial.rebalance.delay.ms=0',
      'auto.create.topics.enable=false',
    ].join('\n'),
  )
  const log4j = join(dir, 'log4j2.properties')
  writeFileSync(
    log4j,
    'status=error\nrootLogger.level=WARN\nrootLogger.appenderRef.c.ref=C\nappender.c.type=Console\nappender.c.name=C\n' +
      'appender.c.target=SYSTEM_ERR\nappender.c.layout.type=PatternLayout\nappender.c.layout.pattern=[%d] %p %m (%c)%n\n',
  )
  const java = [`-Dlog4j2.configurationFile=file:${log4j}`, '-cp', `${kafkaHome}/libs/*`]
  const log = openSync(join(dir, 'kafka.log'), 'w')
  execFileSync('java', [...java, 'kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', properties], {
    stdio: ['ignore', log, log],
  })
  const child = spawn('java', ['-Xms256m', '-Xmx768m', ...java, 'kafka.Kafka', properties], {
    detached: true,
    stdio: ['ignore', log, log],
  })
  child.unref()
  const record = { kafka: `127.0.0.1:${port}`, pid: child.pid, start: startTime(child.pid) }
  writeFileSync(recordFile, JSON.stringify(record))
  const deadline = Date.now() + READY_TIMEOUT_MS
  for (;;) {
    try {
      const answer = execFileSync('kcat', ['-b', record.kafka, '-L', '-m', '1'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      }).toString()
      if (answer.includes('broker 1 at')) break
    } catch {
      // not yet
    }
    if (!running()) throw new Error(`Kafka ended; see ${join(dir, 'kafka.log')}`)
    if (Date.now() > deadline)
      throw new Error(`Kafka was not ready within ${READY_TIMEOUT_MS} ms; see ${join(dir, 'kafka.log')}`)
    await sleep(100)
  }
  writeFileSync(endpointsFile, JSON.stringify({ kafka: record.kafka }, null, 2))
  say(`Kafka ${KAFKA} at ${record.kafka} (pid ${record.pid})`)
}

async function down() {
  const record = running()
  rmSync(endpointsFile, { force: true })
  if (record) {
    process.kill(record.pid, 'SIGTERM')
    for (let waited = 0; running() && waited < STOP_TIMEOUT_MS; waited += 100) await sleep(100)
    if (running()) process.kill(record.pid, 'SIGKILL')
    say(`Kafka (pid ${record.pid}) stopped`)
  }
  rmSync(recordFile, { force: true })
}

const [verb] = process.argv.slice(2)
if (verb === 'up') await up()
else if (verb === 'down') await down()
else if (verb === 'status') console.log(JSON.stringify(running() ?? { kafka: null }))
else {
  console.error('usage: npm run stack -- up|down|status')
  process.exit(2)
}
