// TiKV clients of others, for `npm run check:tikv`: each is built once, into the cache the stack uses, and started as a program
// that takes a command per line (test/tikv/clients). Plain JavaScript, Node 20.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cache, need, say } from '../install.mjs'

const CLIENT_GO = 'v2.0.7'
const CLIENT_JAVA = '3.3.5'
/** The Java client brings no implementation, and does not start without. */
const SLF4J = '1.7.36'
const CLIENT_PYTHON = '0.0.4'
const sources = fileURLToPath(new URL('../../test/tikv/clients/', import.meta.url))

/** Where `make` has built it, which happens again when version or source change. */
function built(name, version, source, make) {
  const digest = createHash('sha256')
    .update(readFileSync(join(sources, source)))
    .digest('hex')
    .slice(0, 12)
  const home = join(cache, 'tikv-clients', `${name}-${version}-${digest}`)
  if (existsSync(join(home, '.ok'))) return home
  say(`building ${name} ${version} (once)`)
  rmSync(home, { recursive: true, force: true })
  mkdirSync(home, { recursive: true })
  copyFileSync(join(sources, source), join(home, source))
  make(home)
  writeFileSync(join(home, '.ok'), '')
  return home
}

const run = (command, args, cwd) => {
  try {
    execFileSync(command, args, {
      cwd,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, GOFLAGS: '-mod=mod' },
    })
  } catch (error) {
    throw new Error(
      `${command} ${args.join(' ')}: ${String(error.stderr ?? error.message)
        .split('\n')
        .slice(-12)
        .join('\n')}`,
      {
        cause: error,
      },
    )
  }
}

/** @returns command and arguments that PD's addresses and the api version follow */
export const clients = {
  'client-go': () => {
    need('go', 'version', ['golang'])
    const home = built('client-go', CLIENT_GO, 'client-go.go', (dir) => {
      run('go', ['mod', 'init', 'weirtikv'], dir)
      run('go', ['get', `github.com/tikv/client-go/v2@${CLIENT_GO}`], dir)
      run('go', ['build', '-trimpath', '-o', 'client-go', '.'], dir)
    })
    return [join(home, 'client-go')]
  },
  'tikv-client-java': () => {
    need('javac', '-version', ['openjdk-17-jdk-headless'])
    need('mvn', '-v', ['maven'])
    const home = built('tikv-client-java', CLIENT_JAVA, 'TikvClientJava.java', (dir) => {
      writeFileSync(
        join(dir, 'pom.xml'),
        `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>weir.tikv</groupId>` +
          `<artifactId>client</artifactId><version>1</version><packaging>pom</packaging><dependencies><dependency>` +
          `<groupId>org.tikv</groupId><artifactId>tikv-client-java</artifactId><version>${CLIENT_JAVA}</version>` +
          `</dependency><dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>${SLF4J}</version>` +
          `</dependency></dependencies></project>`,
      )
      run('mvn', ['-q', '-B', 'dependency:copy-dependencies', '-DincludeScope=runtime', '-DoutputDirectory=libs'], dir)
      run('javac', ['-cp', 'libs/*', 'TikvClientJava.java'], dir)
    })
    return [
      'java',
      '-Xmx256m',
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      '-cp',
      `${home}:${home}/libs/*`,
      'TikvClientJava',
    ]
  },
  'tikv-client (Python)': () => {
    need('python3', '--version', ['python3'])
    need('pip3', '--version', ['python3-pip'])
    const home = built('tikv-client-python', CLIENT_PYTHON, 'tikv_client_python.py', (dir) =>
      run('pip3', ['install', '-q', '--no-deps', '--target', 'site', `tikv-client==${CLIENT_PYTHON}`], dir),
    )
    return ['env', `PYTHONPATH=${join(home, 'site')}`, 'python3', join(home, 'tikv_client_python.py')]
  },
}
