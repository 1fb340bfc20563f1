// PostgreSQL for the tests: a cluster of its own on loopback, with logical replication. Plain JavaScript, Node 20.
import { execFile, execFileSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

export const POSTGRES_LOGIN = { user: 'weir', password: 'weirsecret', database: 'postgres' }
const DEBIAN = '/usr/lib/postgresql'
const run = promisify(execFile)

/** Debian keeps every version's programs in a folder of its own, not in the PATH. Null: not installed. */
export function postgresBin() {
  if (!existsSync(DEBIAN)) return null
  const versions = readdirSync(DEBIAN).filter((v) => existsSync(join(DEBIAN, v, 'bin/initdb')))
  const newest = versions.sort((a, b) => Number(b) - Number(a))[0]
  return newest === undefined ? null : join(DEBIAN, newest, 'bin')
}

/** The server refuses to run as root. Null: this user is not root. */
function owner() {
  if (process.getuid?.() !== 0) return null
  const id = (flag) => Number(execFileSync('id', [flag, 'postgres']).toString())
  return { uid: id('-u'), gid: id('-g') }
}

/** Another user must get there: below a closed home it goes to the folder for temporary files. */
function folderFor(dir, port, as) {
  const open = (path) => (statSync(path).mode & 0o001) !== 0 && (path === dirname(path) || open(dirname(path)))
  const path = as === null || open(dir) ? join(dir, 'postgres-data') : join(tmpdir(), `weir-postgres-${port}`)
  rmSync(path, { recursive: true, force: true })
  mkdirSync(path, { recursive: true, mode: 0o700 })
  chmodSync(path, 0o700)
  if (as !== null) chownSync(path, as.uid, as.gid)
  return path
}

export async function preparePostgres(dir, port) {
  const bin = postgresBin()
  const as = owner()
  const data = folderFor(dir, port, as)
  const { user, password, database } = POSTGRES_LOGIN
  const secret = join(data, '..', 'postgres-password')
  writeFileSync(secret, password, { mode: 0o644 })
  const login = [`--username=${user}`, `--pwfile=${secret}`, '--auth=scram-sha-256']
  const cluster = ['-D', data, ...login, '--encoding=UTF8', '--locale=C', '--no-instructions']
  execFileSync(join(bin, 'initdb'), cluster, { stdio: 'ignore', ...as, cwd: data })
  rmSync(secret)
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    wal_level: 'logical',
    max_replication_slots: '32',
    max_wal_senders: '32',
    // What a slot that nobody reads may hold back.
    max_slot_wal_keep_size: '1GB',
    shared_buffers: '64MB',
  }
  return {
    command: join(bin, 'postgres'),
    args: ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    as: as ?? {},
    endpoint: `postgres://${user}:${password}@127.0.0.1:${port}/${database}`,
    // SIGTERM would wait until the last client has gone.
    stopSignal: 'SIGINT',
    ready: () =>
      run(join(bin, 'pg_isready'), ['-h', '127.0.0.1', '-p', String(port), '-q']).then(
        () => true,
        () => false,
      ),
  }
}
