/**
 * From a job's values to CEL's and back. A record of a known type is read through a view whose fields are converted when an expression
 * asks for them; the value itself is never changed, and never handed out as anything else.
 */
import type { Environment } from '@marcbachmann/cel-js'
import { mismatch, type RecordType, type ValueType } from './value-type.ts'

const RAW = Symbol('raw')
interface View {
  readonly [RAW]: Readonly<Record<string, unknown>>
}
type ViewClass = new (raw: unknown) => View
/** Names of our record types inside CEL. */
const PREFIX = 'weir.'

/** Record types of one environment. */
export class CelTypes {
  readonly #environment: Environment
  readonly #names = new Map<RecordType, string>()
  readonly #views = new Map<string, { readonly type: RecordType; readonly view: ViewClass }>()

  constructor(environment: Environment) {
    this.#environment = environment
  }

  /** CEL's name of a type; registers what it is made of. */
  nameOf(type: ValueType): string {
    switch (type.kind) {
      case 'any':
      case 'nullable':
        return 'dyn'
      case 'enum':
        return 'string'
      case 'list':
        return `list<${this.nameOf(type.of)}>`
      case 'record':
        return this.#record(type)
      default:
        return type.kind
    }
  }

  /** The other direction, of what a checked expression is. */
  typeOf(name: string): ValueType {
    const list = /^list<(.*)>$/.exec(name)
    if (list) return { kind: 'list', of: this.typeOf(list[1]!) }
    if (name === 'string' || name === 'int' || name === 'double' || name === 'bool') return { kind: name }
    return this.#views.get(name)?.type ?? { kind: 'any' }
  }

  /** As messages call it. */
  textOf(message: string): string {
    let text = message.replace(/dyn<([^<>]*)>/g, '$1')
    for (const [name, { type }] of this.#views) text = text.replaceAll(name, type.name)
    return text
  }

  #record(type: RecordType): string {
    const known = this.#names.get(type)
    if (known !== undefined) return known
    const name = `${PREFIX}T${this.#names.size + 1}x`
    this.#names.set(type, name)
    const fields = Object.fromEntries(Object.entries(type.fields).map(([field, of]) => [field, this.nameOf(of)]))
    const view = this.#viewOf(type)
    this.#views.set(name, { type, view })
    this.#environment.registerType(name, { ctor: view, fields })
    return name
  }

  #viewOf(type: RecordType): ViewClass {
    class RecordView implements View {
      readonly [RAW]: Readonly<Record<string, unknown>>
      constructor(raw: unknown) {
        this[RAW] = raw as Readonly<Record<string, unknown>>
      }
    }
    for (const [field, of] of Object.entries(type.fields)) {
      const read = this.reader(of)
      Object.defineProperty(RecordView.prototype, field, {
        get(this: View) {
          const value = this[RAW][field]
          if (value === undefined && of.kind !== 'nullable') return undefined
          const wrong = mismatch(of, value, field)
          if (wrong !== null) throw new TypeError(wrong)
          return read(value)
        },
      })
    }
    return RecordView
  }

  /** Makes of a value of the type what CEL computes with. */
  reader(type: ValueType): (value: unknown) => unknown {
    switch (type.kind) {
      case 'int':
        return (value) => BigInt(value as number | bigint)
      case 'list': {
        const read = this.reader(type.of)
        return (value) => (value as readonly unknown[]).map(read)
      }
      case 'nullable': {
        const read = this.reader(type.of)
        return (value) => (value === null || value === undefined ? null : read(value))
      }
      case 'record': {
        const { view } = this.#views.get(this.nameOf(type))!
        return (value) => new view(value)
      }
      default:
        return (value) => value
    }
  }
}

/** The value of a result. Throws TypeError where a job's values have nothing for it. */
export function plainOf(value: unknown): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'number':
      return value
    case 'bigint':
      if (value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER) return Number(value)
      throw new TypeError(
        `${value} is beyond ±(2^53 − 1), which numbers do not hold exactly; write string(…) around it`,
      )
    case 'object':
      if (value === null) return null
      if (RAW in value) return (value as View)[RAW]
      if (Array.isArray(value)) return value.map(plainOf)
      if (Object.getPrototypeOf(value) === Object.prototype)
        return Object.fromEntries(Object.entries(value).map(([name, of]) => [name, plainOf(of)]))
  }
  throw new TypeError(`the result is no JSON value (${Object.prototype.toString.call(value)})`)
}
