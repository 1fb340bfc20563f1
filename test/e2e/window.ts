/**
 * The window other engines leave open: an epoch is published and its transactions are not committed yet. A delay on the
 * way to S3 holds it open, and the whole fleet is killed inside it.
 */
import { Etcd3 } from 'etcd3'
import type { Fleet } from './fleet.ts'
import type { Toxic } from './toxic.ts'

const S3_LATENCY_MS = 400

/**
 * etcd has the epoch, `head.json` has it not yet: published or about to be, and no transaction ended. Needs a fleet with one
 * job-manager, which reaches S3 through `toxic`.
 * @returns where the job-manager listened, to start one there again
 */
export async function killInTheWindow(
  fleet: Fleet,
  toxic: Toxic,
  jobId: string,
): Promise<{ readonly grpc: string; readonly http: string }> {
  await fleet.until(jobId, 'the third epoch', (j) => j.finalEpoch >= 3)
  toxic.latencyMs = S3_LATENCY_MS
  const etcd = new Etcd3({ hosts: `http://${fleet.etcd}` })
  const head = `/weir/${fleet.cluster}/heads/${jobId}`
  const epochNow = async (): Promise<number> =>
    (JSON.parse((await etcd.get(head).string()) ?? '{}') as { epoch: number }).epoch
  const epoch = await epochNow()
  while ((await epochNow()) === epoch);
  const { grpc, http } = fleet.managers[0]!.ready
  await Promise.all([...fleet.managers, ...fleet.workers].map((p) => fleet.kill(p)))
  etcd.close()
  toxic.latencyMs = 0
  return { grpc: grpc!, http }
}
