// `npm run check:deploy`: what is installed is looked at; the chart is linted, rendered with each file of its ci/ folder, checked against strict schemas of
// Kubernetes and of the CRDs it uses, and held to the rules of tools/deploy/rules.mjs; its alerts are tested, and traces
// and alerts go through a real collector and Alertmanager. Needs Go, Python 3 and `npm run build`; fetches the rest once.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bin, cache, goBinary, goProgram, need, pythonWith } from './install.mjs'
import { brokenIn, unused, vulnerable } from './deploy/lockfile.mjs'
import { broken, missing } from './deploy/rules.mjs'
import { ensureInstalled, root } from './setup.mjs'

const HELM = 'v3.22.0'
const PROMETHEUS = 'v0.316.0' // 3.16
const ALERTMANAGER = 'v0.28.1' // Modules of later ones lack the pages that they embed.
const VALIDATE = '1.37.0'
/** Oldest and newest Kubernetes the chart is for. */
const KUBERNETES = ['1.28.0', '1.37.0']
/** Modules that carry CRDs, and where in them. */
const CRDS = {
  'istio.io/api@v1.32.0': ['kubernetes/customresourcedefinitions.gen.yaml'],
  'github.com/cilium/cilium@v1.20.2': ['pkg/k8s/apis/cilium.io/client/crds/v2/ciliumnetworkpolicies.yaml'],
  'github.com/kedacore/keda/v2@v2.21.0': [
    'config/crd/bases/keda.sh_scaledobjects.yaml',
    'config/crd/bases/keda.sh_triggerauthentications.yaml',
  ],
  'github.com/prometheus-operator/prometheus-operator@v0.85.0': [
    'example/prometheus-operator-crd-full/monitoring.coreos.com_servicemonitors.yaml',
    'example/prometheus-operator-crd-full/monitoring.coreos.com_prometheusrules.yaml',
  ],
  'github.com/sigstore/policy-controller@v0.13.1': ['config/300-clusterimagepolicy.yaml'],
}

/** One release: contrib follows it. */
const COLLECTOR = [
  'go.opentelemetry.io/collector/otelcol@v0.161.0',
  'go.opentelemetry.io/collector/service@v0.161.0',
  'go.opentelemetry.io/collector/receiver/otlpreceiver@v0.161.0',
  'go.opentelemetry.io/collector/confmap/provider/fileprovider@v1.67.0',
  'github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter@v0.161.0',
]

ensureInstalled()
const { parseAllDocuments } = await import('yaml')
const chart = join(root, 'deploy/helm/weir')
const failures = []
const run = (command, args, options = {}) => {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    ...options,
  })
  return {
    ok: status === 0,
    stdout: stdout ?? '',
    said: `${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`.trim(),
  }
}
const check = (name, problems) => {
  console.log(`${problems.length === 0 ? 'ok    ' : 'FAILED'} ${name}`)
  for (const problem of problems) console.log(`       ${problem}`)
  failures.push(...problems)
}

function jsonIn(text) {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}

function crdFiles() {
  need('go', 'version', ['golang'])
  const work = join(cache, 'crds')
  mkdirSync(work, { recursive: true })
  if (!existsSync(join(work, 'go.mod'))) writeFileSync(join(work, 'go.mod'), 'module crds\n')
  return Object.entries(CRDS).flatMap(([module, files]) => {
    const { Dir } = JSON.parse(
      execFileSync('go', ['mod', 'download', '-json', module], { cwd: work, encoding: 'utf8' }),
    )
    return files.map((file) => join(Dir, file))
  })
}

goBinary('helm', HELM, 'helm.sh/helm/v3/cmd/helm')
goBinary('promtool', PROMETHEUS, 'github.com/prometheus/prometheus/cmd/promtool')
goBinary('prometheus', PROMETHEUS, 'github.com/prometheus/prometheus/cmd/prometheus')
const helm = join(bin, 'helm')
const promtool = (...args) => {
  const { ok, said } = run(join(bin, 'promtool'), args, { cwd: join(chart, 'alerts') })
  check(`promtool ${args.join(' ')}`, ok ? [] : [said])
}
promtool('check', 'rules', 'weir.rules.yaml')
promtool('test', 'rules', 'weir.test.yaml')
// A query of a dashboard is an expression like that of a rule.
const { dashboards } = await import('./deploy/dashboards/index.ts')
const { queries, resolved } = await import('./deploy/dashboards/queries.ts')
for (const [name, dashboard] of dashboards) {
  const rules = queries(dashboard).map(({ expr }, index) => ({ record: `query_${index}`, expr: resolved(expr) }))
  const file = join(cache, `dashboard-${name}.rules.json`)
  writeFileSync(file, JSON.stringify({ groups: [{ name, rules }] }))
  promtool('check', 'rules', '--lint=none', file)
}
// What the built processes send is taken by a real collector.
const collector = goProgram('otelcol', join(root, 'tools/deploy/otelcol/main.go'), COLLECTOR)
const tested = (name, project, file, env) => {
  const args = ['vitest', 'run', '--project', project, file]
  const { ok, said } = run('npx', args, { cwd: root, env: { ...process.env, ...env } })
  check(name, ok ? [] : [said])
}
const fleet = (name) => `test/integration/${name}.fleet.test.ts`
tested('traces through an OpenTelemetry collector', 'integration', fleet('traces'), { WEIR_OTEL_COLLECTOR: collector })
goBinary('alertmanager', ALERTMANAGER, 'github.com/prometheus/alertmanager/cmd/alertmanager')
const watching = { WEIR_ALERTMANAGER: join(bin, 'alertmanager'), WEIR_PROMETHEUS: join(bin, 'prometheus') }
tested('remediation of what a real Alertmanager posts', 'integration', fleet('remediation'), watching)
tested('overload, alert, rescale, alert over, by a real Prometheus', 'deploy', 'test/deploy/overload.test.ts', watching)
const crds = crdFiles()
const packages = [`kubernetes-validate==${VALIDATE}`, 'jsonschema', 'pyyaml']
const validator = pythonWith(`kubernetes-validate-${VALIDATE}`, packages)
for (const file of readdirSync(join(chart, 'ci')).sort()) {
  const values = ['-f', join(chart, 'ci', file)]
  for (const version of KUBERNETES) {
    const on = ['--kube-version', version]
    const linted = run(helm, ['lint', '--strict', '--quiet', chart, ...values, ...on])
    check(`helm lint, ${file}, Kubernetes ${version}`, linted.ok ? [] : [linted.said])
    const rendered = run(helm, ['template', 'weir', chart, '--namespace', 'payments', ...values, ...on])
    if (!rendered.ok) {
      check(`helm template, ${file}, Kubernetes ${version}`, [rendered.said])
      continue
    }
    const documents = parseAllDocuments(rendered.stdout)
      .map((document) => document.toJS())
      .filter((document) => document !== null)
    const input = JSON.stringify(documents)
    const [major, minor] = version.split('.')
    const valid = run(validator, [join(root, 'tools/deploy/validate.py'), `${major}.${minor}`, ...crds], { input })
    check(
      `schemas, ${file}, Kubernetes ${version}: ${documents.length} objects`,
      valid.ok ? [] : valid.said.split('\n'),
    )
    check(`rules, ${file}, Kubernetes ${version}`, [...broken(documents), ...missing(documents)])
  }
}
// Values that would run less safely than they say are refused before anything is rendered.
for (const file of readdirSync(join(chart, 'ci-refused')).sort()) {
  const path = join(chart, 'ci-refused', file)
  const why = /^# refused: (.+)$/m.exec(readFileSync(path, 'utf8'))[1]
  const { ok, said } = run(helm, ['template', 'weir', chart, '--kube-version', KUBERNETES[0], '-f', path])
  const problem = ok ? 'it is rendered' : new RegExp(why).test(said) ? null : `it says: ${said}`
  check(`refused, ${file}`, problem === null ? [] : [`${problem}, where /${why}/ is expected`])
}

const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
check('package-lock.json: pinned, from the registry, no scripts, licences', [...brokenIn(lock), ...unused(lock)])
const asked = run('npm', ['audit', '--omit=dev', '--json'], { cwd: root })
const found = vulnerable(jsonIn(asked.stdout))
if (found === null) console.log('-      npm audit: this registry cannot be asked')
else check('npm audit: no known vulnerability, high or critical', found)

console.log(failures.length === 0 ? 'deployment: sound' : `deployment: ${failures.length} problems`)
process.exitCode = failures.length === 0 ? 0 : 1
