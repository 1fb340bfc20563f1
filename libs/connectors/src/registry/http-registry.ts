/** A schema registry by Confluent's REST protocol (v1 content type), which Apicurio, Karapace and Redpanda speak too. */
import type {
  RegistrySchema,
  RegistrySettings,
  SchemaRegistry,
  SchemaType,
  SchemaVersion,
  SecretReference,
} from '@weir/dataflow'
import { WeirError, asWeirError, type Clock } from '@weir/model'
import { redacted, secretOf } from '../secrets.ts'

const REQUEST_TIMEOUT_MS = 5_000
export const REGISTRY_TRIES_MAX = 5
const RETRY_MS = 200
const RETRY_MS_MAX = 2_000
const ANSWER_BYTES_MAX = 4 << 20
const CONTENT_TYPE = 'application/vnd.schemaregistry.v1+json'

export interface HttpRegistryDeps {
  readonly clock: Clock
  /** Aborted when the attempt ends. */
  readonly signal: AbortSignal
  /** Where credentials are looked up. */
  readonly env: Readonly<Record<string, string | undefined>>
}

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

export class HttpSchemaRegistry implements SchemaRegistry {
  readonly #url: string
  readonly #authorization: string | null
  readonly #deps: HttpRegistryDeps

  /** Throws `REGISTRY_SETTINGS_INVALID` (invalid): a URL that is none, or a variable that is not set. */
  constructor(settings: RegistrySettings, deps: HttpRegistryDeps) {
    this.#url = baseOf(settings.url)
    this.#deps = deps
    this.#authorization = this.#credentials(settings.auth)
  }

  async byId(id: number): Promise<RegistrySchema> {
    return schemaOf(await this.#call('GET', `/schemas/ids/${id}`), this.#url)
  }

  async version(subject: string, version: number | 'latest'): Promise<SchemaVersion> {
    return versionOf(await this.#call('GET', `${at(subject)}/versions/${version}`), this.#url)
  }

  async lookup(subject: string, schema: RegistrySchema): Promise<SchemaVersion> {
    return versionOf(await this.#call('POST', at(subject), bodyOf(schema)), this.#url)
  }

  async register(subject: string, schema: RegistrySchema): Promise<SchemaVersion> {
    await this.#call('POST', `${at(subject)}/versions`, bodyOf(schema))
    return this.lookup(subject, schema)
  }

  /** Network errors, 429 and 5xx are tried again: reading changes nothing, and registering twice is registering once. */
  async #call(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Readonly<Record<string, unknown>>> {
    const { clock, signal } = this.#deps
    let last = ''
    for (let tries = 1; tries <= REGISTRY_TRIES_MAX; tries++) {
      if (tries > 1) await clock.sleep(Math.min(RETRY_MS * 2 ** (tries - 2), RETRY_MS_MAX), signal)
      signal.throwIfAborted()
      try {
        const answer = await this.#request(method, path, body)
        if (answer.status < 300) return answer.body
        if (answer.status !== 429 && answer.status < 500) throw this.#refused(answer, `${method} ${path}`)
        last = `it answers ${answer.status}: ${said(answer)}`
      } catch (error) {
        if (error instanceof WeirError) throw error
        signal.throwIfAborted()
        const { message, cause } = error as Error
        last = cause instanceof Error ? `${message}: ${cause.message}` : message
      }
    }
    throw new WeirError(
      { code: 'REGISTRY_UNREACHABLE', kind: 'retry', url: this.#url, tries: REGISTRY_TRIES_MAX },
      `the schema registry at ${this.#url} could not be asked (${method} ${path}): ${last}. Is it up, and reachable from the task-managers?`,
    )
  }

  async #request(method: string, path: string, body: unknown): Promise<Answer> {
    const response = await fetch(this.#url + path, {
      method,
      headers: {
        accept: `${CONTENT_TYPE}, application/json`,
        ...(body !== undefined && { 'content-type': CONTENT_TYPE }),
        ...(this.#authorization !== null && { authorization: this.#authorization }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.any([this.#deps.signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
    })
    const text = await bounded(response)
    try {
      const parsed: unknown = JSON.parse(text)
      if (typeof parsed === 'object' && parsed !== null) return { status: response.status, body: { ...parsed } }
    } catch {
      // the status tells whether it is worth another try
    }
    if (response.ok) throw notARegistry(this.#url, `${method} ${path} is not answered by JSON`)
    return { status: response.status, body: {} }
  }

  #refused(answer: Answer, asked: string): WeirError {
    const { status, body } = answer
    const facts = { url: this.#url, status, errorCode: body['error_code'] ?? null }
    const says = `the schema registry at ${this.#url} says: ${said(answer)}`
    const error = (code: string, text: string): WeirError => new WeirError({ code, kind: 'invalid', ...facts }, text)
    if (status === 401 || status === 403) {
      return error('REGISTRY_DENIED', `${says} (${asked}). Check what \`auth\` names, and what they may do.`)
    }
    if (status === 409)
      return error('SCHEMA_INCOMPATIBLE', `${says}. Change the schema so that the subject's rule holds.`)
    if (status === 422) return error('SCHEMA_INVALID', says)
    if (status === 404 && UNKNOWN.includes(Number(body['error_code']))) return error('SCHEMA_UNKNOWN', says)
    return error('REGISTRY_REFUSED', `${says} (${asked}). Is the URL that of a registry's REST API?`)
  }

  #credentials(auth: RegistrySettings['auth']): string | null {
    if (auth === undefined) return null
    if ('token' in auth) return `Bearer ${this.#secret(auth.token)}`
    const pair = `${this.#secret(auth.username)}:${this.#secret(auth.password)}`
    return `Basic ${Buffer.from(pair).toString('base64')}`
  }

  #secret(of: SecretReference): string {
    const reference = 'env' in of ? `env:${of.env}` : `file:${of.file}`
    try {
      return secretOf(reference, 'schema registry', this.#deps.env)
    } catch (error) {
      throw settingsInvalid((error as Error).message)
    }
  }
}

/** Of subject, version and schema. */
const UNKNOWN = [40401, 40402, 40403]
const at = (subject: string): string => `/subjects/${encodeURIComponent(subject)}`

/** AVRO is what a schema without a type is: registries older than the other two refuse the member. */
const bodyOf = ({ schema, schemaType, references }: RegistrySchema): unknown => ({
  schema,
  ...(schemaType !== 'AVRO' && { schemaType }),
  ...(references.length > 0 && { references }),
})

function schemaOf(body: Readonly<Record<string, unknown>>, url: string): RegistrySchema {
  const { schema, schemaType = 'AVRO', references } = body
  if (typeof schema !== 'string' || typeof schemaType !== 'string') throw notARegistry(url, 'an answer has no schema')
  return {
    schema,
    schemaType: schemaType as SchemaType,
    references: (references ?? []) as RegistrySchema['references'],
  }
}

function versionOf(body: Readonly<Record<string, unknown>>, url: string): SchemaVersion {
  const { id, version } = body
  if (!Number.isInteger(id) || !Number.isInteger(version)) throw notARegistry(url, 'an answer has no id')
  return { ...schemaOf(body, url), id: id as number, version: version as number }
}

const said = ({ status, body }: Answer): string => {
  const { message, error_code: code } = body
  return `${typeof message === 'string' ? redacted(message).slice(0, 500) : 'nothing more'} (${String(code ?? status)})`
}

async function bounded(response: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of response.body ?? []) {
    bytes += (part as Uint8Array).length
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`an answer of more than ${ANSWER_BYTES_MAX} bytes`)
    parts.push(part as Uint8Array)
  }
  return Buffer.concat(parts).toString()
}

/** Without a slash at its end. */
function baseOf(url: string): string {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch (cause) {
    const { message } = asWeirError(cause, '')
    throw settingsInvalid(`the schema registry's url ${JSON.stringify(url)} is none: ${message}`)
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw settingsInvalid(
      `the schema registry's url holds credentials. Name them instead: auth: { username: env('…'), … }, or file('/…')`,
    )
  }
  return url.replace(/\/+$/, '')
}

const settingsInvalid = (text: string): WeirError =>
  new WeirError({ code: 'REGISTRY_SETTINGS_INVALID', kind: 'invalid' }, text)
const notARegistry = (url: string, why: string): WeirError =>
  new WeirError({ code: 'REGISTRY_REFUSED', kind: 'invalid', url }, `${url} is no schema registry: ${why}`)
