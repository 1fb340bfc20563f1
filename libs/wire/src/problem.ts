/** Errors as RFC 9457 problems: what every HTTP door of the fleet answers with. */
import type { WeirError } from '@weir/model'

/** What is used of the answer of a web framework. */
export interface HttpReply {
  status(code: number): HttpReply
  header(name: string, value: string): HttpReply
  send(body: unknown): void
}

export function sendProblem(reply: HttpReply, error: WeirError, status: number): void {
  const { code, kind, message, facts } = error.toJSON()
  reply
    .status(status)
    .header('content-type', 'application/problem+json')
    .send({ type: `urn:weir:error:${code}`, title: code, status, detail: message, code, kind, facts })
}
