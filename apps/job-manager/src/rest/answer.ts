/** Answers of the API are the leader's; who does not lead sends on to it. What a process has of its own it tells itself. */
import { Inject } from '@nestjs/common'
import { WeirError, asWeirError } from '@weir/model'
import type { HttpReply } from '@weir/wire'
import type { ServerResponse } from 'node:http'
import { restAccess } from '../auth/access.ts'
import type { Principal } from '../auth/roles.ts'
import { JOB_MANAGER } from '../grpc.controller.ts'
import type { CallOf, JobManager } from '../job-manager.ts'
import type { Term } from '../term.ts'
import { keyIn, once } from './idempotency.ts'
import { problem } from './problem.ts'

/** `hijack`: from here on the response is written by hand. */
export interface Reply extends HttpReply {
  readonly raw: ServerResponse
  hijack(): void
}
export interface Request {
  readonly method: string
  readonly url: string
  readonly ip: string
  readonly routeOptions: { readonly url?: string | undefined }
  readonly params?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** Of an answer, besides its body. */
export type Headers = Record<string, string>

export abstract class LeaderController {
  protected readonly manager: JobManager

  constructor(@Inject(JOB_MANAGER) manager: JobManager) {
    this.manager = manager
  }

  /** `call` may leave headers for the answer. A POST with an `Idempotency-Key` is done once. Changes are recorded. */
  protected answer(
    request: Request,
    reply: Reply,
    call: (term: Term, headers: Headers, who: Principal) => unknown,
    success = 200,
  ): Promise<void> {
    return this.leading(request, reply, async (term, who) => {
      const headers: Headers = {}
      const access = restAccess(request.method, request.routeOptions.url)
      const run = async (): Promise<{ status: number; body: unknown }> => {
        const make = async (): Promise<unknown> => call(term, headers, who)
        return { status: success, body: await this.manager.recorded(access, who, callOf(request), make) }
      }
      const key = request.method === 'POST' ? keyIn(request.headers['idempotency-key']) : null
      const { method, url, body } = request
      const keyed = { caller: who.name, key: key ?? '', method, url, body }
      const { answer, repeated } =
        key === null
          ? { answer: await run(), repeated: false }
          : await once(this.manager.answers, term.generation, keyed, run)
      if (repeated) headers['idempotency-replayed'] = 'true'
      for (const [name, value] of Object.entries(headers)) reply.header(name, value)
      reply.status(answer.status).send(answer.body)
    })
  }

  /** `call` answers, or throws what is then a problem. Only who may gets here. */
  protected async leading(
    request: Request,
    reply: Reply,
    call: (term: Term, who: Principal) => unknown,
  ): Promise<void> {
    try {
      const who = await this.manager.enter(restAccess(request.method, request.routeOptions.url), callOf(request))
      await call(await this.manager.term(), who)
    } catch (thrown) {
      const error = asWeirError(thrown, 'INTERNAL')
      if (error.code === 'NOT_LEADER') {
        const leader = await this.manager.leader().catch(() => null)
        if (leader) return reply.status(307).header('location', `http://${leader.restAddress}${request.url}`).send('')
      }
      return refuse(reply, error)
    }
  }

  /** Of this process, whoever leads. */
  protected async own(request: Request, reply: Reply, call: (headers: Headers) => Promise<unknown>): Promise<void> {
    const headers: Headers = {}
    try {
      await this.manager.enter(restAccess(request.method, request.routeOptions.url), callOf(request))
      const body = await call(headers)
      for (const [name, value] of Object.entries(headers)) reply.header(name, value)
      reply.status(200).send(body)
    } catch (thrown) {
      return refuse(reply, asWeirError(thrown, 'INTERNAL'))
    }
  }
}

function refuse(reply: Reply, error: WeirError): void {
  if (error.code === 'TOKEN_REFUSED' || error.code === 'BEARER_REFUSED') reply.header('www-authenticate', 'Bearer')
  problem(reply, error)
}

function callOf({ headers, method, url, ip, params = {}, body }: Request): CallOf {
  const text = (name: string): string | undefined => (headers[name] === undefined ? undefined : String(headers[name]))
  const { id, name, transactionalId } = params
  return {
    credentials: { token: text('weir-token'), authorization: text('authorization') },
    name: `${method} ${url.split('?')[0]}`,
    from: ip,
    target: [id, name, transactionalId].filter((part) => part !== undefined).join('/'),
    jobId: id,
    wish: body,
  }
}

/** A query parameter that is a whole number above 0. Throws `PAGE_INVALID` (invalid). */
export function wholeIn(limit: string): number {
  if (/^[1-9]\d{0,4}$/.test(limit)) return Number(limit)
  throw new WeirError(
    { code: 'PAGE_INVALID', kind: 'invalid', limit },
    `limit is "${limit}"; give a whole number above 0`,
  )
}

/** A body: an object with no other fields than these, or nothing. Throws `BODY_INVALID` (invalid). */
export function fieldsIn(body: unknown, ...names: readonly string[]): Readonly<Record<string, unknown>> {
  if (body === undefined) return {}
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new WeirError(
      { code: 'BODY_INVALID', kind: 'invalid' },
      `the body is no JSON object; it has ${names.join(', ')}`,
    )
  }
  const unknown = Object.keys(body).find((field) => !names.includes(field))
  if (unknown === undefined) return body as Readonly<Record<string, unknown>>
  throw new WeirError(
    { code: 'BODY_INVALID', kind: 'invalid', field: unknown },
    `"${unknown}" means nothing here; the body has ${names.join(', ')}`,
  )
}
