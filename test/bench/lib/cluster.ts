/** What the processes of a cluster of their own are told, on the servers of the stack. */
import { stackEndpoints } from '../../stack/endpoints.ts'

export function clusterEnv(name: string): Record<string, string> {
  const { kafka, etcd, s3 } = stackEndpoints()
  return {
    WEIR_S3_ENDPOINT: s3.url,
    WEIR_S3_BUCKET: s3.bucket,
    WEIR_S3_ACCESS_KEY: s3.accessKey,
    WEIR_S3_SECRET_KEY: s3.secretKey,
    WEIR_S3_PREFIX: `${name}/`,
    WEIR_ETCD: etcd,
    WEIR_CLUSTER: name,
    WEIR_KAFKA_BROKERS: kafka,
    WEIR_PROFILE: 'development', // one broker, one etcd
  }
}
