// What the project's own scripts install, once per user, into a cache of theirs: programs built from Go modules, Debian
// packages where this user may. Plain JavaScript, Node 20.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

export const cache =
  process.env.WEIR_STACK_DIR ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'weir-stack')
export const bin = join(cache, 'bin')
export const say = (text) => console.error(`[stack] ${text}`)

const has = (command, ...args) => {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch (error) {
    return error.code !== 'ENOENT'
  }
}

/** Installs Debian packages where this user may, else says what to install. @param command a function: where it is by now */
export function need(command, probe, packages) {
  const found = () => has(typeof command === 'function' ? command() : command, probe)
  if (found()) return
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
  if (!found()) {
    say(`"${packages.join('", "')}" is missing. Install it: apt-get install ${packages.join(' ')}`)
    process.exit(1)
  }
}

/** Builds a program from the Go module proxy in a throw-away module: `go install` refuses modules with replacements. */
export function goBinary(name, version, packagePath) {
  buildGo(name, version, [`${packagePath}@${version}`], packagePath, () => {})
}

/** Builds a program of one Go file from these modules. @returns where it is */
export function goProgram(name, source, modules) {
  const version = createHash('sha256').update(readFileSync(source)).update(modules.join()).digest('hex')
  buildGo(name, version, modules, '.', (work) => copyFileSync(source, join(work, 'main.go')))
  return join(bin, name)
}

function buildGo(name, version, modules, packagePath, prepare) {
  const stamp = join(bin, `.${name}.version`)
  if (existsSync(join(bin, name)) && existsSync(stamp) && readFileSync(stamp, 'utf8').trim() === version) return
  need('go', 'version', ['golang'])
  say(`building ${name} ${version.slice(0, 12)} (once, some minutes)`)
  mkdirSync(bin, { recursive: true })
  const work = mkdtempSync(join(cache, 'go-'))
  const go = (...args) =>
    execFileSync('go', args, {
      cwd: work,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod' },
    })
  try {
    go('mod', 'init', 'weirstack')
    prepare(work)
    go('get', ...modules)
    go('build', '-trimpath', '-ldflags=-s -w', '-o', join(work, name), packagePath)
  } catch (error) {
    say(
      `${name} could not be built: ${String(error.stderr ?? error.message)
        .split('\n')
        .slice(-5)
        .join('\n')}`,
    )
    process.exit(1)
  }
  renameSync(join(work, name), join(bin, name))
  writeFileSync(stamp, version)
  rmSync(work, { recursive: true, force: true })
}

/** A virtual environment of Python 3 with these packages, made once. @returns its interpreter */
export function pythonWith(name, packages) {
  const home = join(cache, 'python', name)
  const program = join(home, 'bin/python')
  if (existsSync(join(home, '.ok'))) return program
  need('python3', '--version', ['python3'])
  say(`installing ${packages.join(', ')}`)
  const venv = () => execFileSync('python3', ['-m', 'venv', '--clear', home], { stdio: 'ignore' })
  try {
    venv()
  } catch {
    need(program, '--version', ['python3-venv'])
    venv()
  }
  execFileSync(program, ['-m', 'pip', 'install', '-q', ...packages], { stdio: ['ignore', 'ignore', 2] })
  writeFileSync(join(home, '.ok'), '')
  return program
}
