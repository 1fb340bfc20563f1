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
    const open = env.find((e) => /TOKEN|SECRET|PASSWORD|ACCESS_KEY/.test(e.name) && e.value !== undefined)
    return open === undefined ? null : `container ${name}: ${open.name} has a value; take it from a Secret`
  }),

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
