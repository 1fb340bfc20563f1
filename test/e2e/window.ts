/**
 * The window other engines leave open: an epoch is published and its transactions are not committed yet. What the
 * job-manager writes into S3 is kept back at that point, and the whole fleet is killed inside it.
 */
import type { Fleet } from './fleet.ts'
import type { Toxic } from './toxic.ts'

/**
 * etcd has the epoch, `head.json` has it not: about to be published, and no transaction ended. Needs a fleet with one
 * job-manager, which reaches S3 through `toxic`.
 * @returns where the job-manager listened, to start one there again
 */
export async function killInTheWindow(
  fleet: Fleet,
  toxic: Toxic,
  jobId: string,
): Promise<{ readonly grpc: string; readonly http: string }> {
  await fleet.until(jobId, 'the third epoch', (j) => j.finalEpoch >= 3)
  // The arbiter writes it behind the register in etcd.
  await toxic.holdFrom((bytes) => bytes.includes('PUT ') && bytes.includes(`jobs/${jobId}/head.json`))
  const { grpc, http } = fleet.managers[0]!.ready
  await Promise.all([...fleet.managers, ...fleet.workers].map((p) => fleet.kill(p)))
  toxic.drop()
  return { grpc: grpc!, http }
}
