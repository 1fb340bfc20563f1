/** What the pages of alerts tell people to type and to look at, held to what there is. */
import { readFileSync } from 'node:fs'
import { COMMANDS } from '../../apps/cli/src/cli/commands.ts'
import { parse } from '../../apps/cli/src/cli/parse.ts'
import { REST_ACCESS } from '../../apps/job-manager/src/auth/access.ts'
import { metricsOf } from './known-metrics.ts'

/** What a page has in code: `weir get JOB-ID`. */
export const codeIn = (page: string): readonly string[] => [...page.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!)

export interface Known {
  /** Alerts with a page. */
  readonly alerts: readonly string[]
  readonly metrics: ReadonlySet<string>
}

/** Of each process. */
const OPEN = ['/livez', '/readyz', '/healthz', '/metrics']
/** The one route of a task-manager. */
const TASK_MANAGER = ['POST /api/v1/dtxids']
/** Of others, which cannot be asked what they know. */
const OTHERS = ['chronyc', 'etcdctl', 'kafka-get-offsets.sh', 'kafka-transactions.sh', 'kubectl']
const SECTIONS = /^# (\w+)\n\n[\s\S]+\n## Look at\n[\s\S]+\n## Do\n[\s\S]+/
const chart = (file: string): string => readFileSync(new URL(`../../deploy/helm/weir/${file}`, import.meta.url), 'utf8')

/** A line each; none: all of it is there. */
export function problemsIn(page: string, { alerts, metrics }: Known): readonly string[] {
  const shape = SECTIONS.test(page) ? [] : ['it is not "# NAME", what it means, "## Look at", "## Do"']
  const links = [...page.matchAll(/\]\((\w+)\.md\)/g)].flatMap(([, name]) =>
    alerts.includes(name!) ? [] : [`there is no page ${name}`],
  )
  // `weir_pool_*` names all that begin so.
  const isThere = (metric: string): boolean =>
    metric.endsWith('_')
      ? [...metrics].some((name) => name.startsWith(metric))
      : metrics.has(metric) || metrics.has(`${metric}_count`)
  const named = metricsOf(page).flatMap((metric) => (isThere(metric) ? [] : [`no process has ${metric}`]))
  return [...shape, ...links, ...named, ...codeIn(page).flatMap((code) => problemOf(code) ?? [])]
}

function problemOf(code: string): string | null {
  const [program, ...args] = code.split(' ')
  if (program === 'weir') return problemOfCommand(code, args)
  if (program === 'curl') return problemOfCurl(code)
  if (program === 'GET' || program === 'POST') return problemOfRoute(program, args[0]!)
  if (program === 'kubectl') return problemOfObject(code)
  if (args.length > 0 && /^[a-z-]+(\.sh|ctl|c)$/.test(program!) && !OTHERS.includes(program!))
    return `${code}: nobody knows ${program}`
  return null
}

function problemOfCommand(code: string, args: readonly string[]): string | null {
  try {
    const parsed = parse(args)
    if (parsed.kind !== 'run') return `${code}: it prints help`
    const wanted = COMMANDS.find(({ name }) => name === parsed.name)!.args.split(' ')
    const needed = wanted.filter((arg) => arg !== '' && !arg.startsWith('['))
    return parsed.args.length >= needed.length ? null : `${code}: it takes ${wanted.join(' ')}`
  } catch (error) {
    return `${code}: ${(error as Error).message}`
  }
}

function problemOfCurl(code: string): string | null {
  const [, process, path] = / (JOB-MANAGER|TASK-MANAGER)(\/\S+)/.exec(code) ?? []
  if (path === undefined) return `${code}: of which process?`
  if (OPEN.includes(path)) return null
  return process === 'TASK-MANAGER' ? `${code}: a task-manager has ${OPEN.join(', ')}` : problemOfRoute('GET', path)
}

function problemOfRoute(method: string, path: string): string | null {
  const route = `${method} ${path.replace(/\?.*$/, '').replace('/JOB-ID', '/:id')}`
  return route in REST_ACCESS || TASK_MANAGER.includes(route) ? null : `${method} ${path}: there is no such route`
}

function problemOfObject(code: string): string | null {
  const [, kind, name] = / (statefulset|deployment)\/weir-([a-z-]+)/.exec(code) ?? []
  if (kind === undefined) return null
  const template = new RegExp(`kind: ${kind}\\b[\\s\\S]*-${name}\\b`, 'i')
  const has = ['job-manager', 'task-manager'].some((file) => template.test(chart(`templates/${file}.yaml`)))
  return has ? null : `${code}: the chart has no ${kind} of that name`
}
