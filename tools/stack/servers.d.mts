/** Types of servers.mjs for tests. */
import type { ChildProcess } from 'node:child_process'

export type ServerName = 'kafka' | 'kafkaV1' | 'etcd' | 's3' | 'redis' | 'postgres'
export interface Launch {
  readonly command: string
  readonly args: readonly string[]
  /** host:port, a URL, or what S3 needs. */
  readonly endpoint: unknown
  ready(): boolean | Promise<boolean>
}
/** Lines of Kafka's server.properties, given the ports that were chosen. */
export type KafkaSettings = (ports: { readonly port: number; readonly controller: number }) => readonly string[]
export const servers: Readonly<
  Record<ServerName, { install(): void; prepare(dir: string, log: number, settings?: KafkaSettings): Promise<Launch> }>
>
export type OnDemandName = 'registry'
export const onDemand: Readonly<Record<OnDemandName, (typeof servers)[ServerName]>>
/** PYTHONPATH of Confluent's own client; installs it once. */
export function confluentPython(): string
export function launchServer(
  name: string,
  launch: Launch,
  log: number,
  started?: (child: ChildProcess) => void,
): Promise<ChildProcess>
/** `kafka-configs.sh` against this broker. */
export function kafkaConfigs(broker: string, ...args: string[]): Promise<unknown>
export function freePorts(n: number): Promise<number[]>
