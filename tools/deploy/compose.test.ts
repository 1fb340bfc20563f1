/** docker-compose.yml is parsed and held to the rules the processes themselves check at their start. */
import { existsSync, readFileSync } from 'node:fs'
import { listenSettings } from '@weir/wire'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { readConfig as readJobManager } from '../../apps/job-manager/src/config.ts'
import { readConfig as readTaskManager } from '../../apps/task-manager/src/config.ts'

interface Service {
  readonly environment?: Readonly<Record<string, string>>
  readonly ports?: readonly string[]
  readonly image?: string
  readonly command?: readonly string[]
  readonly read_only?: boolean
  readonly cap_drop?: readonly string[]
  readonly mem_limit?: string
  readonly build?: { readonly dockerfile: string }
  readonly depends_on?: Readonly<Record<string, unknown>>
}
const root = new URL('../../', import.meta.url)
const compose = parse(readFileSync(new URL('docker-compose.yml', root), 'utf8'), { merge: true }) as {
  services: Record<string, Service>
}
const services = Object.entries(compose.services)
const apps = services.filter(([, s]) => s.build !== undefined)
const environment = (s: Service): NodeJS.ProcessEnv => ({ ...s.environment, WEIR_FLEET_TOKEN: 'a secret' })

test('the fleet: two job-managers, two task-managers, and the servers they need', () => {
  expect(apps.map(([name, s]) => [name, /apps\/(.+)\/dist\/main.js/.exec(s.command![0]!)![1]])).toEqual([
    ['job-manager-1', 'job-manager'],
    ['job-manager-2', 'job-manager'],
    ['task-manager-1', 'task-manager'],
    ['task-manager-2', 'task-manager'],
  ])
  expect(services.map(([name]) => name)).toEqual(expect.arrayContaining(['kafka', 'etcd', 's3', 'redis']))
})

describe.each(apps)('%s', (name, service) => {
  test('its environment is one its process starts with', () => {
    const read = service.command![0]!.includes('job-manager') ? readJobManager : readTaskManager
    expect(read(environment(service)).listen).toMatchObject({ host: '0.0.0.0', advertiseHost: name, grpcPort: 7070 })
  })

  test('it listens beyond loopback and refuses to without the token', () => {
    expect(service.environment!['WEIR_FLEET_TOKEN']).toMatch(/^\$\{WEIR_FLEET_TOKEN:\?/)
    expect(() => listenSettings({ ...service.environment, WEIR_FLEET_TOKEN: '' })).toThrow(/WEIR_FLEET_TOKEN/)
  })

  test('what it names is in the file', () => {
    const { WEIR_ETCD, WEIR_KAFKA_BROKERS, WEIR_JOB_MANAGERS, WEIR_S3_ENDPOINT } = service.environment!
    const hosts = [WEIR_ETCD!, WEIR_KAFKA_BROKERS!, ...WEIR_JOB_MANAGERS!.split(','), new URL(WEIR_S3_ENDPOINT!).host]
    for (const host of hosts) expect(Object.keys(compose.services)).toContain(host.split(':')[0])
    for (const needed of Object.keys(service.depends_on ?? {})) expect(Object.keys(compose.services)).toContain(needed)
    expect(existsSync(new URL(service.command![0]!.replace('/dist/main.js', '/src/main.ts'), root))).toBe(true)
  })

  test('it can write nowhere but to /tmp, has no rights beyond a user, and a bound for its memory', () => {
    expect(service).toMatchObject({ read_only: true, tmpfs: ['/tmp'], cap_drop: ['ALL'] })
    expect(service.environment!['WEIR_DATA_DIR']).toMatch(/^\/tmp\//)
    expect(service.mem_limit).toMatch(/^\dg$/)
  })
})

test('the image: no root, no shell, nothing unpinned, no archive from elsewhere', () => {
  const file = readFileSync(new URL('deploy/images/Dockerfile', root), 'utf8')
  const bases = [...file.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image!)
  expect(bases).toHaveLength(2)
  for (const base of bases) expect(base).toMatch(/:(24|nonroot)/)
  expect(bases.at(-1)).toMatch(/distroless/)
  expect(/^USER (\d+):\d+$/m.exec(file)![1]).not.toBe('0')
  expect(file).not.toMatch(/^ADD |curl|wget/m)
  const ignored = readFileSync(new URL('.dockerignore', root), 'utf8').split('\n')
  expect(ignored).toEqual(expect.arrayContaining(['**/node_modules', '.git', '**/.weir']))
})

test('ports are published on loopback only, images have versions', () => {
  for (const [, { ports = [], image }] of services) {
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/)
    if (image !== undefined) expect(image).toMatch(/:v?\d/)
  }
})

test('the stack of the tests: loopback only, the same versions, a port for each server', () => {
  const read = (file: string): Record<string, Service> =>
    (parse(readFileSync(new URL(file, root), 'utf8'), { merge: true }) as { services: Record<string, Service> })
      .services
  const stack = read('deploy/stack/compose.yml')
  expect(Object.keys(stack).sort()).toEqual(['etcd', 'kafka', 'kafka-v1', 'postgres', 'redis', 's3'])
  for (const [name, service] of Object.entries(stack)) {
    // The fleet itself needs no PostgreSQL: jobs name theirs.
    if (name !== 'postgres') expect(service.image).toBe(compose.services[name.replace('-v1', '')]!.image)
    expect(service.image).toMatch(/:v?\d/)
    expect(service.ports).toEqual([expect.stringMatching(/^127\.0\.0\.1:\$\{[A-Z0-9_]+_PORT:\?\}:/)])
  }
})
