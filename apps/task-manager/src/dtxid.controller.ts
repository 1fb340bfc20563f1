/** `POST /api/v1/dtxids?count=N`: ids for those who put records in. Errors are RFC 9457 problems, as the job-manager's. */
import { Controller, Headers, Inject, Post, Query, Res } from '@nestjs/common'
import { NEXT_MANY_MAX, type DtxIds } from '@weir/idempotency'
import { WeirError, asWeirError } from '@weir/model'
import { checkToken, sendProblem, type HttpReply } from '@weir/wire'

export const DTX_IDS = Symbol('dtx-ids')
export interface DtxIdRef {
  readonly ids: DtxIds<bigint> | DtxIds<string>
  readonly form: '63' | '68'
  readonly token: string | null
}

const RETRY_AFTER_S = 1

@Controller('api/v1/dtxids')
export class DtxIdController {
  readonly #of: DtxIdRef

  constructor(@Inject(DTX_IDS) of: DtxIdRef) {
    this.#of = of
  }

  /** Ids as text, decimal digits of the 63-bit form: JSON has no such numbers. */
  @Post()
  async take(
    @Query('count') count: string | undefined,
    @Headers('authorization') authorization: string | undefined,
    @Res() reply: HttpReply,
  ): Promise<void> {
    const { ids, form, token } = this.#of
    try {
      checkToken(token, authorization?.replace(/^Bearer /, ''))
      const taken = await ids.takeMany(counted(count))
      reply.status(200).send({ form, ids: taken.map(String) })
    } catch (thrown) {
      problem(reply, asWeirError(thrown, 'INTERNAL'))
    }
  }
}

function counted(count = '1'): number {
  if (/^\d{1,4}$/.test(count) && Number(count) >= 1 && Number(count) <= NEXT_MANY_MAX) return Number(count)
  throw new WeirError(
    { code: 'DTXID_INVALID', kind: 'invalid', setting: 'count', got: count },
    `count=${count}: give a whole number from 1 to ${NEXT_MANY_MAX}`,
  )
}

function problem(reply: HttpReply, error: WeirError): void {
  const { code, kind } = error
  const status = code === 'TOKEN_REFUSED' ? 401 : kind === 'invalid' ? 400 : kind === 'retry' ? 503 : 500
  sendProblem(status === 503 ? reply.header('retry-after', String(RETRY_AFTER_S)) : reply, error, status)
}
