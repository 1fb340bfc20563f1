/**
 * Parameters of a job, set when it is bundled:
 *
 *     const p = params({ topic: 'orders', parallelism: 4, rate: Number })
 *     // weir submit job.ts --set topic=orders-eu --set rate=5000
 *
 * A job must plan identically on every machine, so it never reads the environment. The client puts the parameters into
 * the bundle instead: its digest covers them, and every task-manager sees the same ones.
 */
import { WeirError } from '@weir/model'

/** Replaced by the bundler with an object literal; absent when a job file runs without one, e.g. in a test. */
declare const __WEIR_PARAMS__: Readonly<Record<string, string>> | undefined

/** A default, whose type decides how the text is read; `Number`, `String`, `Boolean` for "may be left out". */
export type ParamDefaults = Readonly<
  Record<string, string | number | boolean | NumberConstructor | StringConstructor | BooleanConstructor>
>
export type Params<D extends ParamDefaults> = {
  readonly [N in keyof D]: D[N] extends NumberConstructor
    ? number | undefined
    : D[N] extends StringConstructor
      ? string | undefined
      : D[N] extends BooleanConstructor
        ? boolean | undefined
        : D[N] extends number
          ? number
          : D[N] extends boolean
            ? boolean
            : string
}

/**
 * The parameters of this bundle. Call it once per job: names it does not list are refused.
 * Throws `PARAM_UNKNOWN` and `PARAM_INVALID` (invalid).
 */
export function params<const D extends ParamDefaults>(defaults: D): Params<D> {
  const given = typeof __WEIR_PARAMS__ === 'undefined' ? {} : __WEIR_PARAMS__
  const names = Object.keys(defaults)
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue
    throw new WeirError(
      { code: 'PARAM_UNKNOWN', kind: 'invalid', name, known: names },
      `this job has no parameter "${name}"; it has: ${names.join(', ') || 'none'}`,
    )
  }
  const values = names.map((name) => {
    const text = Object.hasOwn(given, name) ? given[name] : undefined
    const fallback = defaults[name]
    if (text === undefined) return [name, typeof fallback === 'function' ? undefined : fallback]
    return [name, parse(name, text, kindOf(fallback))]
  })
  return Object.freeze(Object.fromEntries(values)) as Params<D>
}

type ParamKind = 'number' | 'string' | 'boolean'

function kindOf(fallback: ParamDefaults[string] | undefined): ParamKind {
  if (fallback === Number) return 'number'
  if (fallback === Boolean) return 'boolean'
  if (fallback === String) return 'string'
  return typeof fallback as ParamKind
}

function parse(name: string, text: string, kind: ParamKind): unknown {
  if (kind === 'string') return text
  if (kind === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  // Number('') is 0 and Number('0x10') 16: only decimal numbers are meant.
  if (kind === 'number' && /^-?\d+(\.\d+)?(e\d+)?$/i.test(text) && Number.isFinite(Number(text))) return Number(text)
  throw new WeirError(
    { code: 'PARAM_INVALID', kind: 'invalid', name, got: text, expected: kind },
    `parameter ${name}=${text}: expected ${kind === 'boolean' ? 'true or false' : 'a decimal number'}`,
  )
}
