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
  startupProbe: {},
  livenessProbe: {},
  readinessProbe: {},
}
const pod = {
  securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  terminationGracePeriodSeconds: 120,
  containers: [container],
}
const labels = { 'app.kubernetes.io/component': 'task-manager' }
const owner = (spec: object, apiVersion = 'apps/v1'): KubernetesObject => ({
  ...{ apiVersion, kind: 'StatefulSet', metadata: { name: 'weir-task-manager', labels } },
  spec: { template: { metadata: { labels }, spec } },
})
const withContainer = (change: object): KubernetesObject => owner({ ...pod, containers: [{ ...container, ...change }] })

test('a sound object passes', () => {
  expect(broken([owner(pod)])).toEqual([])
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
  ['a drain has time', owner({ ...pod, terminationGracePeriodSeconds: 30 }), /60 s/],
]
test.each(breaking)('%s: broken by %#', (rule, object, said) => {
  const found = broken([object])
  expect(found).toEqual([expect.stringMatching(said)])
  expect(found[0]).toMatch(`${rule}: StatefulSet/weir-task-manager: `)
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
