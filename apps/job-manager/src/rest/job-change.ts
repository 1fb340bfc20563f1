/** Changes of one job: one after the other, and only where `If-Match` says what still is; the answer has the new version. */
import { jobId } from '@weir/model'
import type { Term } from '../term.ts'
import { LeaderController, type Headers, type Reply, type Request } from './answer.ts'
import { requireVersion, versionOf } from './precondition.ts'

export abstract class JobChangeController extends LeaderController {
  /** 202 with what `call` gives. @param versionRequired 428 without `If-Match` */
  protected change(
    request: Request,
    reply: Reply,
    id: string,
    versionRequired: boolean,
    call: (term: Term) => unknown,
  ): Promise<void> {
    const inTurn = async (term: Term, headers: Headers): Promise<unknown> => {
      requireVersion(ifMatchIn(request), term.get(jobId(id)), versionRequired)
      const body = await call(term)
      headers['etag'] = versionOf(term.get(jobId(id)))
      return body
    }
    const change = (term: Term, headers: Headers): unknown => this.manager.turns.run(id, () => inTurn(term, headers))
    return this.answer(request, reply, change, 202)
  }
}

const ifMatchIn = ({ headers }: Request): string | undefined =>
  headers['if-match'] === undefined ? undefined : String(headers['if-match'])
