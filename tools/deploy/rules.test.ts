/** The rules for what is deployed bite: a sound object passes them all, and each has one that breaks it alone. */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { broken, missing, rules, type KubernetesObject } from './rules.mjs'

const container = {
  name: 'task-manager',
  image: 'registry.example.com/weir:0.1.0',
  imagePullPolicy: 'IfNotPresent',
  resources: { requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: '1', memory: '1Gi' } },
  securityContext: {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  },
  ports: [{ name: 'http', containerPort: 7080 }],
  env: [
    { name: 'WEIR_SLOTS', value: '4' },
    { name: 'WEIR_FLEET_TOKEN', valueFrom: { secretKeyRef: { name: 'weir-fleet', key: 'token' } } },
  ],
  volumeMounts: [
    { name: 'data', mountPath: '/data' },
    { name: 'tls', mountPath: '/tls', readOnly: true },
  ],
  startupProbe: {},
  livenessProbe: {},
  readinessProbe: {},
}
const pod = {
  securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  terminationGracePeriodSeconds: 120,
  volumes: [
    { name: 'tls', secret: { secretName: 'weir-tls', defaultMode: 0o440 } },
    { name: 'data', emptyDir: {} },
  ],
  containers: [container],
}
const labels = { 'app.kubernetes.io/component': 'task-manager' }
const owner = (spec: object, apiVersion = 'apps/v1'): KubernetesObject => ({
  ...{ apiVersion, kind: 'StatefulSet', metadata: { name: 'weir-task-manager', labels } },
  spec: { template: { metadata: { labels }, spec } },
})
const withContainer = (change: object): KubernetesObject => owner({ ...pod, containers: [{ ...container, ...change }] })

const withEnv = (env: Record<string, string>): KubernetesObject =>
  withContainer({ env: [...container.env, ...Object.entries(env).map(([name, value]) => ({ name, value }))] })

const monitor = (endpoint: object): KubernetesObject => ({
  ...{ apiVersion: 'monitoring.coreos.com/v1', kind: 'ServiceMonitor', metadata: { name: 'weir' } },
  spec: { endpoints: [endpoint] },
})

test('a sound object passes', () => {
  expect(broken([monitor({ port: 'http', honorLabels: true })])).toEqual([])
  expect(broken([owner(pod)])).toEqual([])
  expect(broken([withEnv({ WEIR_KAFKA_PASSWORD: 'file:/tls/password' })])).toEqual([])
})

const breaking: readonly [rule: string, object: KubernetesObject, said: RegExp][] = [
  ['no removed API', owner(pod, 'extensions/v1beta1'), /apps\/v1/],
  ['limits set', withContainer({ resources: { requests: container.resources.requests } }), /limits/],
  ['images are not pulled anew', withContainer({ imagePullPolicy: 'Always' }), /IfNotPresent/],
  ['images are not pulled anew', withContainer({ imagePullPolicy: undefined }), /IfNotPresent/],
  ['images have a version', withContainer({ image: 'registry.example.com:5000/weir' }), /tag/],
  ['images have a version', withContainer({ image: 'weir:latest' }), /latest/],
  ['no host ports', withContainer({ ports: [{ containerPort: 7080, hostPort: 7080 }] }), /hostPort/],
  ['no host ports', owner({ ...pod, hostNetwork: true }), /hostNetwork/],
  [
    'nobody is root',
    owner({ ...pod, securityContext: { seccompProfile: { type: 'RuntimeDefault' } } }),
    /runAsNonRoot/,
  ],
  ['nobody is root', withContainer({ securityContext: { allowPrivilegeEscalation: false } }), /readOnlyRoot/],
  ['probes are there', withContainer({ livenessProbe: undefined }), /livenessProbe/],
  ['no secret in the open', withContainer({ env: [{ name: 'WEIR_FLEET_TOKEN', value: 'x' }] }), /Secret/],
  ['no secret in the open', withEnv({ WEIR_S3_SECRET_KEY: 'file' }), /Secret/],
  ['what is read is mounted', withEnv({ WEIR_BUNDLE_KEYS: '/tls/a.pub,/keys/b.pub' }), /no volume/],
  ['what is read is mounted', withEnv({ WEIR_KAFKA_PASSWORD: 'file:/kafka/password' }), /no volume/],
  ['secrets are read only', withContainer({ volumeMounts: [{ name: 'tls', mountPath: '/tls' }] }), /readOnly/],
  ['secrets are read only', owner({ ...pod, volumes: [{ name: 'tls', secret: { secretName: 'x' } }] }), /0440/],
  [
    'certificates are whole',
    withEnv({ WEIR_TLS_CERT: '/tls/a', WEIR_TLS_KEY: '/tls/b', WEIR_TLS_CA: '/tls/c' }),
    /NAME/,
  ],
  ['the audit log outlives its pod', withEnv({ WEIR_AUDIT_FILE: '/data/audit.ndjson' }), /emptyDir/],
  ['tokens are meant for this fleet', withEnv({ WEIR_OIDC_ISSUER: 'https://id.example.com' }), /AUDIENCE/],
  ['tokens are meant for this fleet', withEnv({ WEIR_OIDC_ISSUER: 'http://id', WEIR_OIDC_AUDIENCE: 'weir' }), /https/],
  ['metrics keep their labels', monitor({ port: 'http' }), /honorLabels/],
  ['a drain has time', owner({ ...pod, terminationGracePeriodSeconds: 30 }), /60 s/],
]
test.each(breaking)('%s: broken by %#', (rule, object, said) => {
  const found = broken([object])
  expect(found).toEqual([expect.stringMatching(said)])
  expect(found[0]).toMatch(`${rule}: ${object.kind}/${object.metadata.name}: `)
})

test('no rule is without an object that breaks it', () => {
  expect(new Set(breaking.map(([rule]) => rule))).toEqual(new Set(Object.keys(rules)))
})

test('pods that may all go at once are named', () => {
  expect(missing([owner(pod)])).toEqual([expect.stringMatching(/no PodDisruptionBudget/)])
  const budget = (matchLabels: object): KubernetesObject => ({
    ...{ apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: 'b' } },
    spec: { selector: { matchLabels } },
  })
  expect(missing([owner(pod), budget(labels)])).toEqual([])
  expect(missing([owner(pod), budget({ 'app.kubernetes.io/component': 'job-manager' })])).toHaveLength(1)
})

test('what the chart sets is what the processes read', () => {
  const root = new URL('../../', import.meta.url).pathname
  const files = (dir: string, end: string): string[] =>
    readdirSync(join(root, dir), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith(end) && !file.includes('node_modules') && !file.endsWith('.test.ts'))
      .map((file) => readFileSync(join(root, dir, file), 'utf8'))
  const names = (text: string): string[] => [...text.matchAll(/\bWEIR_[A-Z0-9_]+/g)].map(([name]) => name)
  const set = new Set(files('deploy/helm/weir/templates', '').flatMap(names))
  const sources = ['apps/job-manager/src', 'apps/task-manager/src', 'libs'].flatMap((dir) => files(dir, '.ts'))
  const read = new Set(sources.flatMap(names))
  expect(set.size).toBeGreaterThan(15)
  expect([...set].filter((name) => !read.has(name))).toEqual([])
})
