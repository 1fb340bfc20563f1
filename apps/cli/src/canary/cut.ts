/**
 * Where both sides begin: a savepoint of the running job, and the place in its topics behind which its later output lies. Output of
 * several subtasks lies mixed there, so no offset divides what is in the savepoint from what comes behind it; transactions do.
 *
 * ```
 *   epoch a is final │ ends of the topics are read │ savepoint is asked for, a' is final │ … │ its epoch n is final
 *                    └─ all output up to a lies in front of the ends           └─ transactions of a' + 1 to n are named by it
 * ```
 *
 * With a' > a an epoch became final between the two looks, whose transactions nobody has named: it is looked again.
 */
import { WeirError, type Clock } from '@weir/model'
import type { KafkaTopics } from '@weir/kafka'
import type { JobsClient } from '@weir/wire'

export interface Cut {
  readonly savepoint: string
  readonly epoch: number
  /** By topic, offsets by partition. */
  readonly from: Readonly<Record<string, readonly number[]>>
  /** Transactions behind `from` that are in the savepoint. */
  readonly before: readonly string[]
}

export interface CutDeps {
  readonly client: JobsClient
  readonly topics: Pick<KafkaTopics, 'ends'>
  readonly clock: Clock
}

const TRIES = 10
const LOOK_MS = 100
/** For a savepoint: an epoch, and the copying of its state. */
const SAVEPOINT_MS_MAX = 300_000

/** Throws `CANARY_CUT_UNKNOWN` (retry), `JOB_NOT_RUNNING` (invalid), and what keeps the savepoint from being taken. */
export async function cutOf(jobId: string, topics: readonly string[], deps: CutDeps): Promise<Cut> {
  const { client, clock } = deps
  for (let n = 1; n <= TRIES; n++) {
    const { live } = await client.canary(jobId)
    const from = await endsOf(topics, deps)
    const name = `canary-${clock.now().toString(36)}-${n}`
    await client.takeSavepoint(jobId, name, false)
    const savepoint = await complete(jobId, name, deps)
    const { epoch, output } = savepoint
    if (output !== null && output.after <= live.finalEpoch)
      return { savepoint: name, epoch, from, before: output.transactions }
    await client.deleteSavepoint(jobId, name)
  }
  throw new WeirError(
    { code: 'CANARY_CUT_UNKNOWN', kind: 'retry', jobId, tries: TRIES },
    `checkpoints of ${jobId} follow each other so closely that ${TRIES} savepoints each came behind an epoch that had just become final; try again, or with a longer checkpoint.intervalMs`,
  )
}

export async function endsOf(
  topics: readonly string[],
  { topics: log }: Pick<CutDeps, 'topics'>,
): Promise<Record<string, readonly number[]>> {
  return Object.fromEntries(
    await Promise.all(topics.map(async (topic) => [topic, await log.ends(topic, false)] as const)),
  )
}

type Complete = NonNullable<Awaited<ReturnType<JobsClient['canary']>>['savepoint']>

async function complete(jobId: string, name: string, { client, clock }: CutDeps): Promise<Complete> {
  for (
    const deadline = clock.monotonic() + SAVEPOINT_MS_MAX;
    clock.monotonic() < deadline;
    await clock.sleep(LOOK_MS)
  ) {
    const { savepoint } = await client.canary(jobId, name)
    if (savepoint !== null) return savepoint
    const failed = (await client.listSavepoints(jobId)).find((one) => one.name === name && one.state === 'FAILED')
    if (failed !== undefined)
      throw WeirError.fromJSON(JSON.parse(failed.error) as Parameters<typeof WeirError.fromJSON>[0])
  }
  throw new WeirError(
    { code: 'SAVEPOINT_NOT_TAKEN', kind: 'retry', jobId, name, waitedMs: SAVEPOINT_MS_MAX },
    `savepoint ${name} of ${jobId} is not complete after ${SAVEPOINT_MS_MAX / 1_000} s; \`weir savepoints ${jobId}\` shows what became of it`,
  )
}
