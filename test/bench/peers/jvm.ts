/** The peers: built by Maven from `test/bench/peers/NAME` and `shared`, started with options as name=value. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { glob, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { need } from '../../../tools/install.mjs'

export const JVM_PEERS = ['flink', 'kafka-streams'] as const
export type JvmPeer = (typeof JVM_PEERS)[number]
export type Jvm = ChildProcess

const root = new URL('../../../', import.meta.url).pathname
const built = (name: JvmPeer): string => join(root, '.weir/peers', name)
const HEAP = '-Xmx768m'

/** Once for what stands in its folders: Maven takes longer than a run. */
export async function build(name: JvmPeer): Promise<void> {
  const sources = await digestOf([name, 'shared'].map((dir) => join(root, 'test/bench/peers', dir)))
  const stamp = join(built(name), 'sources')
  if ((await readFile(stamp, 'utf8').catch(() => null)) === sources) return
  need('javac', '-version', ['openjdk-17-jdk-headless'])
  need('mvn', '-v', ['maven'])
  await rm(built(name), { recursive: true, force: true }) // jars of other versions would be on the class path, too
  const copy = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${built(name)}/libs`]
  const args = ['-q', '-B', '-f', join(root, 'test/bench/peers', name, 'pom.xml'), `-Dpeers.target=${built(name)}`]
  const mvn = spawn('mvn', [...args, 'compile', ...copy], { stdio: ['ignore', 2, 2] })
  const [status] = (await once(mvn, 'exit')) as [number]
  if (status !== 0) throw new Error(`${name} was not built: mvn ended with ${status}`)
  await writeFile(stamp, sources)
}

async function digestOf(dirs: readonly string[]): Promise<string> {
  const hash = createHash('sha256')
  const entries = await Promise.all(dirs.map((dir) => readdir(dir, { recursive: true, withFileTypes: true })))
  const files = entries.flat().filter((file) => file.isFile())
  for (const path of files.map((file) => join(file.parentPath, file.name)).sort())
    hash.update(path).update(await readFile(path))
  return hash.digest('hex')
}

/** @param log gets what it says */
export function startJvm(name: JvmPeer, options: Readonly<Record<string, string>>, log: string): Jvm {
  const opens = ['java.lang', 'java.util', 'java.time'].map((p) => `--add-opens=java.base/${p}=ALL-UNNAMED`)
  const target = built(name)
  const level = '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'
  const args = [HEAP, ...opens, level, '-cp', `${target}/classes:${target}/libs/*`, 'Peer']
  const set = Object.entries(options).map(([key, value]) => `${key}=${value}`)
  const child = spawn('java', [...args, ...set], { stdio: ['ignore', 'pipe', 'pipe'] })
  const said = createWriteStream(log, { flags: 'a' })
  child.stdout.pipe(said, { end: false })
  child.stderr.pipe(said, { end: false })
  return child
}

/** Flink's newest completed checkpoint; '' before the first. */
export async function newestCheckpoint(dir: string): Promise<string> {
  let newest = ''
  const number = (path: string): number => Number(/chk-(\d+)/.exec(path)?.[1] ?? -1)
  for await (const path of glob('*/chk-*/_metadata', { cwd: dir }))
    if (number(path) > number(newest)) newest = join(dir, path.replace('/_metadata', ''))
  return newest
}
