// Rules for everything Weir deploys: those a review of production clusters left behind (no deprecated API, limits set, no
// `imagePullPolicy: Always`, no host ports), and our own. A rule is a name and what it says of a document: null when it holds.

const POD_OWNERS = ['StatefulSet', 'Deployment', 'DaemonSet', 'Job']
/** Removed from Kubernetes: what replaced them. */
const REMOVED = {
  'extensions/v1beta1': 'apps/v1, networking.k8s.io/v1 or policy/v1',
  'apps/v1beta1': 'apps/v1',
  'apps/v1beta2': 'apps/v1',
  'policy/v1beta1': 'policy/v1',
  'networking.k8s.io/v1beta1': 'networking.k8s.io/v1',
  'autoscaling/v2beta1': 'autoscaling/v2',
  'autoscaling/v2beta2': 'autoscaling/v2',
  'batch/v1beta1': 'batch/v1',
  'rbac.authorization.k8s.io/v1beta1': 'rbac.authorization.k8s.io/v1',
}

const TLS = ['WEIR_TLS_CERT', 'WEIR_TLS_KEY', 'WEIR_TLS_CA', 'WEIR_TLS_SERVER_NAME']
/** `/path`, `file:/path`, several with commas. */
const pathsIn = (value) => value.split(',').flatMap((part) => /^(?:file:)?(\/.*)$/.exec(part)?.slice(1) ?? [])

const podOf = (document) => (POD_OWNERS.includes(document.kind) ? document.spec.template.spec : null)
const containersOf = (document) => {
  const pod = podOf(document)
  return pod === null ? [] : [...(pod.initContainers ?? []), ...pod.containers]
}
/** A rule about each container. */
const perContainer = (say) => (document) =>
  containersOf(document)
    .map((container) => say(container, podOf(document)))
    .find((said) => said !== null) ?? null

export const rules = {
  'no removed API': ({ apiVersion }) =>
    REMOVED[apiVersion] === undefined ? null : `${apiVersion} is gone from Kubernetes; use ${REMOVED[apiVersion]}`,

  'limits set': perContainer(({ name, resources }) =>
    resources?.limits?.cpu && resources.limits.memory && resources.requests?.cpu && resources.requests.memory
      ? null
      : `container ${name}: set resources.requests and resources.limits, cpu and memory`,
  ),

  'images are not pulled anew': perContainer(({ name, imagePullPolicy }) =>
    imagePullPolicy === 'IfNotPresent' || imagePullPolicy === 'Never'
      ? null
      : `container ${name}: imagePullPolicy ${imagePullPolicy ?? 'is not set'}; a restart must run what ran before: IfNotPresent`,
  ),

  'images have a version': perContainer(({ name, image }) =>
    /@sha256:[0-9a-f]{64}$/.test(image) || (/:[^/]+$/.test(image) && !/:latest$/.test(image))
      ? null
      : `container ${name}: image ${image}; give a tag that is not latest, or better a digest`,
  ),

  'no host ports': perContainer(({ name, ports = [] }, pod) =>
    pod.hostNetwork || ports.some(({ hostPort }) => hostPort !== undefined)
      ? `container ${name}: no hostPort and no hostNetwork; a Service reaches it`
      : null,
  ),

  'nobody is root': perContainer(({ name, securityContext = {} }, pod) => {
    const merged = { ...pod.securityContext, ...securityContext }
    if (merged.runAsNonRoot !== true) return `container ${name}: set runAsNonRoot: true`
    if (merged.allowPrivilegeEscalation !== false) return `container ${name}: set allowPrivilegeEscalation: false`
    if (merged.readOnlyRootFilesystem !== true) return `container ${name}: set readOnlyRootFilesystem: true`
    if (!merged.capabilities?.drop?.includes('ALL')) return `container ${name}: drop all capabilities`
    return merged.seccompProfile?.type === 'RuntimeDefault'
      ? null
      : `container ${name}: set seccompProfile RuntimeDefault`
  }),

  'probes are there': perContainer(({ name, startupProbe, livenessProbe, readinessProbe }) =>
    startupProbe && livenessProbe && readinessProbe
      ? null
      : `container ${name}: set startupProbe, livenessProbe and readinessProbe`,
  ),

  'no secret in the open': perContainer(({ name, env = [] }) => {
    const open = env.find(
      (e) => /TOKEN|SECRET|PASSWORD|ACCESS_KEY/.test(e.name) && !/^file:\/./.test(e.value ?? 'file:/x'),
    )
    return open === undefined ? null : `container ${name}: ${open.name} has a value; take it from a Secret`
  }),

  'what is read is mounted': perContainer(({ name, env = [], volumeMounts = [] }) => {
    const mounted = (path) =>
      volumeMounts.some(({ mountPath }) => path === mountPath || path.startsWith(`${mountPath}/`))
    const lost = env.find(({ value = '' }) => pathsIn(value).some((path) => !mounted(path)))
    return lost === undefined ? null : `container ${name}: ${lost.name}=${lost.value} lies on no volume; mount it`
  }),

  'secrets are read only': (document) => {
    const pod = podOf(document)
    const secret = new Set((pod?.volumes ?? []).filter((volume) => volume.secret).map(({ name }) => name))
    const open = (pod?.volumes ?? []).find(({ secret: of }) => of && (of.defaultMode ?? 0o644) & 0o007)
    if (open !== undefined)
      return `volume ${open.name}: everybody in the container may read it; set defaultMode 288 (0440)`
    const mounts = containersOf(document).flatMap(({ volumeMounts = [] }) => volumeMounts)
    const written = mounts.find(({ name, readOnly }) => secret.has(name) && readOnly !== true)
    return written === undefined ? null : `volume ${written.name}: mount it with readOnly: true`
  },

  'certificates are whole': perContainer(({ name, env = [] }) => {
    const has = (variable) => env.some((e) => e.name === variable)
    const [lost] = TLS.some(has) ? TLS.filter((variable) => !has(variable)) : []
    return lost === undefined ? null : `container ${name}: ${lost} is not set, and the others are`
  }),

  'the audit log outlives its pod': (document) => {
    const scratch = new Set((podOf(document)?.volumes ?? []).filter(({ emptyDir }) => emptyDir).map(({ name }) => name))
    return perContainer(({ name, env = [], volumeMounts = [] }) => {
      const path = env.find((e) => e.name === 'WEIR_AUDIT_FILE')?.value
      const on = volumeMounts.find(({ mountPath }) => path?.startsWith(`${mountPath}/`))
      return on !== undefined && scratch.has(on.name)
        ? `container ${name}: ${path} is on an emptyDir, which goes with the pod; claim a volume for it`
        : null
    })(document)
  },

  'tokens are meant for this fleet': perContainer(({ name, env = [] }) => {
    const valueOf = (variable) => env.find((e) => e.name === variable)?.value
    const issuer = valueOf('WEIR_OIDC_ISSUER')
    if (issuer === undefined) return null
    if (!issuer.startsWith('https://')) return `container ${name}: WEIR_OIDC_ISSUER=${issuer} is not https`
    return valueOf('WEIR_OIDC_AUDIENCE') ? null : `container ${name}: set WEIR_OIDC_AUDIENCE beside WEIR_OIDC_ISSUER`
  }),

  'metrics keep their labels': (document) => {
    if (document.kind !== 'ServiceMonitor' && document.kind !== 'PodMonitor') return null
    const endpoints = document.spec.endpoints ?? document.spec.podMetricsEndpoints ?? []
    return endpoints.every(({ honorLabels }) => honorLabels === true)
      ? null
      : 'set honorLabels: true: else `job` of every metric becomes `exported_job`, and no alert names a job'
  },

  'a drain has time': (document) => {
    const pod = podOf(document)
    if (pod === null || document.metadata.labels?.['app.kubernetes.io/component'] !== 'task-manager') return null
    const seconds = pod.terminationGracePeriodSeconds ?? 30
    return seconds >= 60 ? null : `terminationGracePeriodSeconds ${seconds}: slices need 60 s to run elsewhere`
  },
}

/** @returns what is wrong, a line each: `rule: kind/name: what` */
export function broken(documents) {
  return documents.flatMap((document) =>
    Object.entries(rules).flatMap(([rule, say]) => {
      const said = say(document)
      return said === null ? [] : [`${rule}: ${document.kind}/${document.metadata.name}: ${said}`]
    }),
  )
}

/** What is about all of them together. */
export function missing(documents) {
  const budgets = documents.filter(({ kind }) => kind === 'PodDisruptionBudget')
  return documents
    .filter(({ kind }) => kind === 'StatefulSet' || kind === 'Deployment')
    .filter(({ spec }) => {
      const labels = spec.template.metadata.labels
      const covers = ({ spec: of }) => Object.entries(of.selector.matchLabels).every(([k, v]) => labels[k] === v)
      return !budgets.some(covers)
    })
    .map(({ kind, metadata }) => `disruption budget: ${kind}/${metadata.name} has no PodDisruptionBudget`)
}
