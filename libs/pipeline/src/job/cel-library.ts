/**
 * What an expression may call. A job's operators are called again for the same record after a restart, on another machine perhaps, and
 * must answer what they answered before. So there is no clock, no randomness and no time zone (whose rules are those of the machine):
 * whatever of CEL or its implementation asks for one is not in these lists, and nothing that is not in them can be called.
 */
import type { Environment } from '@marcbachmann/cel-js'

/** `size(x)` … */
const FUNCTIONS = ['size', 'string', 'int', 'double', 'bool', 'dyn', 'has', 'abs', 'floor', 'formatTime', 'parseTime']
/** `x.contains(y)` … */
const METHODS = [
  ...['size', 'contains', 'startsWith', 'endsWith', 'matches', 'lowerAscii', 'upperAscii', 'trim'],
  ...['indexOf', 'lastIndexOf', 'substring', 'split', 'join'],
  ...['all', 'exists', 'exists_one', 'filter', 'map', 'bind'],
]
export const LIBRARY: { readonly functions: readonly string[]; readonly methods: readonly string[] } = {
  functions: FUNCTIONS,
  methods: METHODS,
}

/** What people reach for, and what there is instead. */
export const ABSENT: Readonly<Record<string, string>> = {
  now: 'There is no clock in an expression: a record that is read again must come out as before. Its time is eventTime, in ms.',
  random: 'There is no randomness in an expression: a record that is read again must come out as before.',
  uuid: 'There is no randomness in an expression; make ids of what is in the record.',
  timestamp: 'Times are whole numbers of ms since 1970: parseTime("2026-01-01T00:00:00Z"), formatTime(ms).',
  duration: 'Durations are whole numbers of ms: 10 s are 10000.',
  len: 'It is called size(…).',
  length: 'It is called size(…).',
  toLowerCase: 'It is called lowerAscii().',
  toUpperCase: 'It is called upperAscii().',
  includes: 'It is called contains(…).',
  replace: 'Texts are taken apart with split and put together with join.',
  sum: 'Sums are made by the operators reduce, aggregate and window.',
}

const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,3})?(?:Z|[+-]\d{2}:\d{2})$/

/** CEL's own `int` takes "" and "0b1" for numbers. */
export const INT_OF = 'intOf'

/** Besides what CEL has: numbers of both kinds together are doubles, as in JSON. */
export function withLibrary(environment: Environment): Environment {
  for (const [left, right] of [
    ['double', 'int'],
    ['int', 'double'],
  ]) {
    environment.registerOperator(`${left} + ${right}: double`, (a: unknown, b: unknown) => Number(a) + Number(b))
    environment.registerOperator(`${left} - ${right}: double`, (a: unknown, b: unknown) => Number(a) - Number(b))
    environment.registerOperator(`${left} * ${right}: double`, (a: unknown, b: unknown) => Number(a) * Number(b))
    environment.registerOperator(`${left} / ${right}: double`, (a: unknown, b: unknown) => Number(a) / Number(b))
    environment.registerOperator(`${left} % ${right}: double`, (a: unknown, b: unknown) => Number(a) % Number(b))
  }
  environment.registerOperator('double % double: double', (a: number, b: number) => a % b)
  environment.registerFunction(`${INT_OF}(int): int`, (value: bigint) => value)
  environment.registerFunction(`${INT_OF}(double): int`, (value: number) => {
    if (!Number.isFinite(value)) throw new TypeError(`int(): ${value} is no whole number`)
    return BigInt(Math.trunc(value))
  })
  environment.registerFunction(`${INT_OF}(string): int`, (value: string) => {
    if (!/^-?\d{1,19}$/.test(value)) throw new TypeError(`int(): ${JSON.stringify(value)} is no whole number`)
    return BigInt(value)
  })
  environment.registerFunction('abs(int): int', (value: bigint) => (value < 0n ? -value : value))
  environment.registerFunction('abs(double): double', (value: number) => Math.abs(value))
  environment.registerFunction('floor(double): int', (value: number) => BigInt(Math.floor(value)))
  environment.registerFunction('formatTime(int): string', (ms: bigint) => new Date(Number(ms)).toISOString())
  environment.registerFunction('parseTime(string): int', (text: string) => {
    const ms = RFC3339.test(text) ? Date.parse(text) : Number.NaN
    if (Number.isNaN(ms))
      throw new TypeError(`parseTime(): ${JSON.stringify(text)} is no time such as 2026-01-01T00:00:00Z`)
    return BigInt(ms)
  })
  return environment
}
