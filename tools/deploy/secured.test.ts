/** The secured overlay of the compose file: its processes start with what it says, and what is missing is named. */
import { generateKeyPairSync } from 'node:crypto'
import { copyFileSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { readConfig as readJobManager } from '../../apps/job-manager/src/config.ts'
import { readConfig as readTaskManager } from '../../apps/task-manager/src/config.ts'
import { TestAuthority } from '../../libs/wire/src/tls/testing.ts'

interface Service {
  readonly environment: Readonly<Record<string, string>>
  readonly secrets?: readonly string[]
  readonly volumes?: readonly string[]
  readonly command?: readonly string[]
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly secrets: Readonly<Record<string, { readonly file: string }>>
  readonly volumes: Readonly<Record<string, unknown>>
}
const root = new URL('../../', import.meta.url)
const read = (file: string): Compose =>
  parse(readFileSync(new URL(file, root), 'utf8'), { merge: true }) as unknown as Compose
const base = read('docker-compose.yml')
const secured = read('deploy/compose/secured.yml')

/** Where compose mounts them. */
const MOUNTED = '/run/secrets/'
let dir = ''
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'weir-secrets-'))
  const { certificate, key, ca } = new TestAuthority('fleet').issue('DNS:weir.fleet')
  for (const [from, to] of [
    [certificate, 'tls.crt'],
    [key, 'tls.key'],
    [ca, 'ca.crt'],
  ] as const)
    copyFileSync(from, join(dir, to))
  writeFileSync(join(dir, 'fleet-token'), 'a secret\n')
  const { publicKey } = generateKeyPairSync('ed25519')
  writeFileSync(join(dir, 'bundle.pub'), publicKey.export({ format: 'pem', type: 'spki' }))
})

/** As compose merges both files, with the secrets of this test. */
const environmentOf = (name: string): Record<string, string> => {
  const merged = { ...base.services[name]!.environment, ...secured.services[name]!.environment }
  const filled = Object.entries(merged).map(([variable, value]) => [
    variable,
    value
      .replaceAll(MOUNTED, `${dir}/`)
      .replace(/^\$\{\w+:-(.*)\}$/, '$1')
      .replace(/^\$\{WEIR_OIDC_ISSUER:\?.*\}$/, 'https://id.example.com'),
  ])
  return Object.fromEntries(filled) as Record<string, string>
}
const names = (of: string): string[] => Object.keys(secured.services).filter((name) => name.startsWith(of))

test('every process of Weir is in it', () => {
  const weir = Object.entries(base.services).filter(([, { command }]) => command?.[0]?.startsWith('apps/'))
  expect(Object.keys(secured.services).sort()).toEqual(weir.map(([name]) => name).sort())
})

test('a job-manager starts with it: mTLS, tokens of people, signatures, an audit log on its own volume and in a topic', () => {
  for (const name of names('job-manager')) {
    const config = readJobManager(environmentOf(name))
    expect(config.listen).toMatchObject({ token: 'a secret', tls: { serverName: 'weir.fleet' } })
    expect(config.oidc).toMatchObject({ issuer: 'https://id.example.com', audience: 'weir' })
    expect(config.trustedKeys).not.toBeNull()
    expect(config).toMatchObject({ auditFile: '/audit/audit.ndjson', auditTopic: { topic: 'weir.audit' } })
  }
  const volumes = names('job-manager').flatMap((name) => secured.services[name]!.volumes ?? [])
  expect(new Set(volumes).size).toBe(2)
  for (const volume of volumes) expect(Object.keys(secured.volumes)).toContain(volume.split(':')[0])
})

test('a task-manager starts with it: mTLS, signatures, the same token', () => {
  for (const name of names('task-manager'))
    expect(readTaskManager(environmentOf(name)).listen).toMatchObject({
      token: 'a secret',
      tls: { serverName: 'weir.fleet' },
    })
})

test('what is read from /run/secrets is mounted, and nothing else is', () => {
  for (const { environment, secrets = [] } of Object.values(secured.services)) {
    const used = Object.values(environment).flatMap((value) => value.split(MOUNTED).slice(1))
    expect([...secrets].sort()).toEqual(used.sort())
    for (const secret of secrets) expect(secured.secrets[secret]!.file).toBe(`./deploy/compose/secrets/${secret}`)
  }
})

test('a secret that is not there, or an issuer without an audience, ends the process at its start', () => {
  const [name] = names('job-manager')
  expect(() => readJobManager({ ...environmentOf(name!), WEIR_FLEET_TOKEN: 'file:/run/secrets/none' })).toThrow(
    expect.objectContaining({ code: 'SECRET_MISSING' }),
  )
  expect(() => readJobManager({ ...environmentOf(name!), WEIR_OIDC_AUDIENCE: '' })).toThrow(/WEIR_OIDC_AUDIENCE/)
  expect(() => readJobManager({ ...environmentOf(name!), WEIR_AUDIT_FILE: '' })).toThrow(/WEIR_AUDIT_FILE/)
})
