/** `weir dlq`: dead letters for people. */
import type { jobs } from '@weir/proto'
import type { JobsClient } from '@weir/wire'
import { needed, usage } from './usage.ts'

/** Of one request. */
const PAGE_LETTERS = 200

export interface DlqCommand {
  readonly verb: string | undefined
  readonly jobId: string | undefined
  readonly origins: readonly string[]
  readonly all: boolean
  /** How many are listed. */
  readonly limit: number
}

export async function dlq(
  client: JobsClient,
  { verb, jobId, origins, all, limit }: DlqCommand,
  print: (value: unknown, text: string) => void,
): Promise<number> {
  switch (verb) {
    case 'list': {
      const letters: jobs.DeadLetterView[] = []
      let next = ''
      do {
        const page = { from: next, limit: Math.min(PAGE_LETTERS, limit - letters.length) }
        const answer = await client.listDeadLetters(needed(jobId, 'JOB-ID'), page)
        letters.push(...answer.letters)
        next = answer.next
      } while (next !== '' && letters.length < limit)
      const more = next === '' ? [] : [`there are more: weir dlq list ${jobId} --limit ${limit * 10}`]
      print(letters, [...letters.map(line), ...more].join('\n') || 'no dead letters')
      return 0
    }
    case 'replay': {
      if (all === origins.length > 0) throw usage('dlq replay needs either ORIGINs (topic/partition/offset) or --all')
      const total = { replayed: 0, before: 0, refused: [] as jobs.ReplayResponse_Refused[] }
      for (let more = true; more;) {
        const answer = await client.replayDeadLetters(needed(jobId, 'JOB-ID'), all ? null : origins)
        if (total.replayed === 0) total.before = answer.before
        total.replayed += answer.replayed
        total.refused = answer.refused
        more = answer.more && answer.replayed > 0
      }
      const refused = total.refused.map(({ origin, why }) => `${origin}: ${why}`)
      print(total, [`${total.replayed} replayed, ${total.before} were before`, ...refused].join('\n'))
      return refused.length === 0 ? 0 : 1
    }
    default:
      throw usage(verb === undefined ? 'dlq needs list or replay' : `there is no command "dlq ${verb}"`)
  }
}

/** Where it was read, where and how it failed, what became of it. */
function line(l: jobs.DeadLetterView): string {
  const became = l.replayed ? `replayed by ${l.replayed}` : l.replay === 'whole' ? 'can be replayed' : 'not replayable'
  const value = l.value === undefined ? 'no value' : JSON.stringify(l.value)
  const facts = [l.origin ?? 'made by the job', l.operator, l.error, `try ${l.attempt}`, became, l.message, value]
  return facts.join('\t')
}
