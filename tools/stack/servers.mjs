// The real servers a test needs, as processes on loopback: how each is installed, configured, started and asked whether it
// is ready. `npm run stack` runs one of each per checkout; a test that has to kill or restart a server runs its own
// (test/stack/private-server.ts). Plain JavaScript, Node 20.
import { execFile, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bin, cache, goBinary, need, say } from '../install.mjs'
import { postgresBin, preparePostgres } from './postgres.mjs'

const KAFKA = '4.3.1'
const LOG4J = '2.25.4'
const REGISTRY = '3.0.9'
const CONFLUENT_PYTHON = '2.16.1'
const ETCD = 'v3.7.3'
const VERSITYGW = 'v1.8.0'
const CLUSTER_ID = 'V0VJUi1URVNULVNUQUNLLQ'
export const S3_KEYS = { accessKey: 'weir', secretKey: 'weirsecret', bucket: 'weir' }
export const READY_TIMEOUT_MS = 60_000

const kafkaHome = join(cache, 'kafka', KAFKA)
const run = promisify(execFile)
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// ---- installing -----------------------------------------------------------------------------------------------------

function installKafka() {
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

/** `kafka-configs.sh` against this broker. */
export const kafkaConfigs = (broker, ...args) =>
  run('java', ['-cp', `${kafkaHome}/libs/*`, 'kafka.admin.ConfigCommand', '--bootstrap-server', broker, ...args])

// ---- helpers --------------------------------------------------------------------------------------------------------

/** Kernel start time of a pid: a number alone may have been given to another process. Null = not running. */
export function startTime(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    return fields[0] === 'Z' ? null : fields[19]
  } catch {
    return null
  }
}

/**
 * In front of those that systems give to whoever connects or asks for any: a server takes seconds to listen, one that was killed comes back to
 * its port, and nobody has it meanwhile.
 */
const PORTS = { from: 12_000, to: 32_000 }

export async function freePorts(n) {
  const ports = new Set()
  while (ports.size < n) {
    const port = PORTS.from + Math.floor(Math.random() * (PORTS.to - PORTS.from))
    if (await isFree(port)) ports.add(port)
  }
  return [...ports]
}

const isFree = (port) =>
  new Promise((resolve) => {
    const server = net.createServer().once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })

function emptyFolder(dir, name) {
  const path = join(dir, name)
  rmSync(path, { recursive: true, force: true })
  mkdirSync(path, { recursive: true })
  return path
}

export const answers = async (url) => (await fetch(url).catch(() => null))?.ok === true

function tcpAnswers(port, send, expected) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(send))
    socket.setTimeout(1_000, () => socket.destroy())
    socket.on('data', (data) => {
      resolve(data.toString().includes(expected))
      socket.destroy()
    })
    socket.on('error', () => resolve(false)).on('close', () => resolve(false))
  })
}

// ---- the servers ----------------------------------------------------------------------------------------------------
// install: fetch what is missing. prepare(dir, log) chooses ports, empties its data folder in `dir`, writes its
// configuration there → { command, args, endpoint, ready() }: what `launchServer` takes, any number of times. `as`: the
// user it runs as; `stopSignal`: where SIGTERM is not the one.

/** A broker on its own. `format`: more arguments for formatting; `jvm`: for running. */
const kafka = (name, { format, jvm }) => ({
  install: installKafka,
  /** @param settings ports → lines of server.properties behind those below: the last one of a name counts */
  async prepare(parent, log, settings = () => []) {
    const [port, controller] = await freePorts(2)
    const dir = emptyFolder(parent, name)
    const data = emptyFolder(dir, 'data')
    const configuration = join(dir, 'kafka.properties')
    writeFileSync(
      configuration,
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
        'transaction.abort.timed.out.transaction.cleanup.interval.ms=200',
        'share.coordinator.state.topic.replication.factor=1',
        'share.coordinator.state.topic.min.isr=1',
        'group.initial.rebalance.delay.ms=0',
        'auto.create.topics.enable=false',
        // Records carry event time: by it they would be older than any retention, and vanish during a test.
        'log.retention.ms=-1',
        ...settings({ port, controller }),
      ].join('\n'),
    )
    const log4j = join(dir, 'log4j2.properties')
    writeFileSync(
      log4j,
      'status=error\nrootLogger.level=WARN\nrootLogger.appenderRef.c.ref=C\nappender.c.type=Console\nappender.c.name=C\n' +
        'appender.c.target=SYSTEM_ERR\nappender.c.layout.type=PatternLayout\nappender.c.layout.pattern=[%d] %p %m (%c)%n\n',
    )
    const java = [`-Dlog4j2.configurationFile=file:${log4j}`, '-cp', `${kafkaHome}/libs/*`]
    const tool = [...java, 'kafka.tools.StorageTool', 'format', '-t', CLUSTER_ID, '-c', configuration, ...format]
    execFileSync('java', tool, { stdio: ['ignore', log, log] })
    const ready = async () => {
      const { stdout } = await run('kcat', ['-b', `127.0.0.1:${port}`, '-L', '-m', '1']).catch(() => ({ stdout: '' }))
      return stdout.includes('broker 1 at')
    }
    const args = [...jvm, ...java, 'kafka.Kafka', configuration]
    return { command: 'java', args, endpoint: `127.0.0.1:${port}`, ready }
  },
})

export const servers = {
  kafka: kafka('kafka', { format: [], jvm: ['-Xms256m', '-Xmx768m'] }),
  /** As brokers before 4.0, and those that were upgraded and kept their features. Little work, so little memory. */
  kafkaV1: kafka('kafka-v1', {
    format: ['--feature', 'transaction.version=1'],
    jvm: ['-Xms128m', '-Xmx320m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'],
  }),
  etcd: {
    install: () => goBinary('etcd', ETCD, 'go.etcd.io/etcd/server/v3'),
    async prepare(dir) {
      const [client, peer] = await freePorts(2)
      const [url, peerUrl] = [`http://127.0.0.1:${client}`, `http://127.0.0.1:${peer}`]
      const options = {
        name: 'weir',
        'data-dir': emptyFolder(dir, 'etcd-data'),
        'log-level': 'warn',
        'listen-client-urls': url,
        'advertise-client-urls': url,
        'listen-peer-urls': peerUrl,
        'initial-advertise-peer-urls': peerUrl,
        'initial-cluster': `weir=${peerUrl}`,
      }
      const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
      return {
        command: join(bin, 'etcd'),
        args,
        endpoint: `127.0.0.1:${client}`,
        ready: () => answers(`${url}/health`),
      }
    },
  },
  s3: {
    install: () => goBinary('versitygw', VERSITYGW, 'github.com/versity/versitygw/cmd/versitygw'),
    async prepare(dir) {
      const [port] = await freePorts(1)
      // In the posix backend a folder is a bucket.
      const data = emptyFolder(dir, 's3-data')
      mkdirSync(join(data, S3_KEYS.bucket))
      const { accessKey, secretKey } = S3_KEYS
      const args = ['--access', accessKey, '--secret', secretKey, '--port', `127.0.0.1:${port}`]
      const endpoint = { url: `http://127.0.0.1:${port}`, ...S3_KEYS }
      return {
        command: join(bin, 'versitygw'),
        args: [...args, '--health', '/health', '--quiet', 'posix', data],
        endpoint,
        ready: () => answers(`${endpoint.url}/health`),
      }
    },
  },
  redis: {
    install: () => need('redis-server', '--version', ['redis-server']),
    async prepare(dir) {
      const [port] = await freePorts(1)
      const options = {
        bind: '127.0.0.1',
        port,
        dir: emptyFolder(dir, 'redis-data'),
        appendonly: 'yes',
        appendfsync: 'always',
      }
      const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
      return {
        command: 'redis-server',
        args: [...args, '--save', ''],
        endpoint: `127.0.0.1:${port}`,
        ready: () => tcpAnswers(port, 'PING\r\n', 'PONG'),
      }
    },
  },
  postgres: {
    install: () => need(() => join(postgresBin() ?? '', 'initdb'), '--version', ['postgresql']),
    prepare: async (dir) => preparePostgres(dir, (await freePorts(1))[0]),
  },
}

/** Started by the tests that need them only; no part of `npm run stack`. */
export const onDemand = {
  /** Apicurio Registry: Confluent's REST protocol under /apis/ccompat/v7, its data in memory. */
  registry: {
    install() {
      need('java', '-version', ['openjdk-17-jre-headless'])
      const home = join(cache, 'registry', REGISTRY)
      if (existsSync(join(home, '.ok'))) return
      need('mvn', '-v', ['maven'])
      say(`fetching Apicurio Registry ${REGISTRY}`)
      mkdirSync(home, { recursive: true })
      const artifact = `io.apicurio:apicurio-registry-app:${REGISTRY}:tar.gz:all`
      const args = ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${home}`]
      execFileSync('mvn', args, { cwd: home, stdio: ['ignore', 2, 2] })
      const archive = readdirSync(home).find((name) => name.endsWith('.tar.gz'))
      execFileSync('tar', ['xzf', archive], { cwd: home })
      rmSync(join(home, archive))
      writeFileSync(join(home, '.ok'), '')
    },
    async prepare(dir) {
      const [port] = await freePorts(1)
      const home = join(cache, 'registry', REGISTRY)
      const runner = readdirSync(home).find((name) => name.endsWith('-runner.jar'))
      const quarkus = [
        '-Dquarkus.http.host=127.0.0.1',
        `-Dquarkus.http.port=${port}`,
        `-Djava.io.tmpdir=${emptyFolder(dir, 'tmp')}`,
      ]
      const endpoint = `http://127.0.0.1:${port}/apis/ccompat/v7`
      return {
        command: 'java',
        args: ['-Xmx320m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', ...quarkus, '-jar', join(home, runner)],
        endpoint,
        ready: () => answers(`${endpoint}/subjects`),
      }
    },
  },
}

/** @returns what PYTHONPATH has to be for Confluent's own client, installed once */
export function confluentPython() {
  const home = join(cache, 'python', `confluent-kafka-${CONFLUENT_PYTHON}-json`)
  if (existsSync(join(home, '.ok'))) return home
  need('python3', '--version', ['python3'])
  need('pip3', '--version', ['python3-pip'])
  say(`installing confluent-kafka ${CONFLUENT_PYTHON}`)
  const packages = [`confluent-kafka[avro,json,protobuf,schemaregistry]==${CONFLUENT_PYTHON}`]
  execFileSync('pip3', ['install', '-q', '--target', home, ...packages], { stdio: ['ignore', 2, 'ignore'] })
  writeFileSync(join(home, '.ok'), '')
  return home
}

// ---- running one ----------------------------------------------------------------------------------------------------

/**
 * Starts what was prepared; again after it ended: same ports, same data. Throws when it ends or is not ready in time.
 *
 * @param launch what `prepare` answered
 * @param log file descriptor for what it says
 * @param started told the process at once, before it is ready
 */
export async function launchServer(name, launch, log, started = () => {}) {
  const child = spawn(launch.command, launch.args, { detached: true, stdio: ['ignore', log, log], ...launch.as })
  child.on('error', (error) => say(`${name}: ${error.message}`))
  child.unref()
  started(child)
  const deadline = Date.now() + READY_TIMEOUT_MS
  while (!(await launch.ready())) {
    if (startTime(child.pid) === null) throw new Error(`${name} ended`)
    if (Date.now() > deadline) throw new Error(`${name} was not ready within ${READY_TIMEOUT_MS} ms`)
    await sleep(50)
  }
  return child
}
