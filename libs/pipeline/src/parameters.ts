/** Parameters: `${NAME}` in values, set when the pipeline is bundled, as `params` is in a job in TypeScript. */
import { instead, type Path, type Problem } from './job/index.ts'

export type ParamValue = string | number | boolean | null
type Declared = Readonly<Record<string, unknown>>

/** Below these keys stand expressions, in which a parameter is a variable. */
const EXPRESSIONS = [
  ...['filter', 'map', 'flatMap', 'keyBy', 'keyedBySource', 'timestamp', 'select', 'add', 'merge'],
  ...['bizKey', 'eventType', 'fingerprint', 'sum', 'min', 'max', 'avg', 'first', 'last'],
]
const REFERENCE = /\$\{([A-Za-z_]\w*)\}/g
const WHOLE = /^\$\{([A-Za-z_]\w*)\}$/

/** Values by name. @param given texts of `--set` */
export function valuesOf(
  declared: Declared,
  given: Readonly<Record<string, string>>,
  problem: (problem: Problem) => void,
): Record<string, ParamValue> {
  const values: Record<string, ParamValue> = {}
  for (const [name, of] of Object.entries(declared)) {
    const kind = typeof of === 'object' && of !== null ? (of as { type?: unknown }).type : typeof of
    values[name] = typeof of === 'object' ? null : (of as ParamValue)
    const text = Object.hasOwn(given, name) ? given[name]! : undefined
    if (text === undefined) continue
    const value = parsed(text, kind)
    if (value === undefined) {
      const wanted = kind === 'boolean' ? 'true or false' : 'a decimal number'
      problem({ path: ['params', name], message: `--set ${name}=${text} is not ${wanted}`, remedy: `Give ${wanted}.` })
    } else values[name] = value
  }
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(declared, name)) continue
    problem({
      path: ['params'],
      isKey: true,
      message: `--set ${name}: there is no such parameter`,
      remedy: instead(name, Object.keys(declared), 'parameter'),
    })
  }
  return values
}

function parsed(text: string, kind: unknown): ParamValue | undefined {
  if (kind === 'boolean') return text === 'true' ? true : text === 'false' ? false : undefined
  if (kind !== 'number') return text
  return /^-?\d+(\.\d+)?(e\d+)?$/i.test(text) && Number.isFinite(Number(text)) ? Number(text) : undefined
}

/** The value with its references replaced. What is a parameter without a value is left out. */
export function substituted(
  value: unknown,
  values: Readonly<Record<string, ParamValue>>,
  path: Path,
  problem: (problem: Problem) => void,
): unknown {
  if (typeof value === 'string') return text(value, values, path, problem)
  if (Array.isArray(value)) return value.map((item, i) => substituted(item, values, [...path, i], problem))
  if (typeof value !== 'object' || value === null) return value
  const made: Record<string, unknown> = {}
  for (const [key, of] of Object.entries(value)) {
    if (key === '__proto__') continue // has been told of
    const isExpression = EXPRESSIONS.includes(key) && !path.includes('initial')
    const replaced = isExpression ? of : substituted(of, values, [...path, key], problem)
    if (replaced !== undefined) made[key] = replaced
  }
  return made
}

function text(
  value: string,
  values: Readonly<Record<string, ParamValue>>,
  path: Path,
  problem: (problem: Problem) => void,
): unknown {
  const whole = WHOLE.exec(value)?.[1]
  if (whole !== undefined && Object.hasOwn(values, whole)) return values[whole] ?? undefined
  return value.replace(REFERENCE, (reference, name: string, start: number) => {
    if (Object.hasOwn(values, name)) return String(values[name] ?? '')
    problem({
      path,
      range: { start, end: start + reference.length },
      message: `there is no parameter "${name}"`,
      remedy: `${instead(name, Object.keys(values), 'parameter')} Parameters are declared under params: ${name}: DEFAULT.`,
    })
    return reference
  })
}
