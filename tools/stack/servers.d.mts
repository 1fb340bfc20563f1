/** Types of servers.mjs for tests. */
import type { ChildProcess } from 'node:child_process'

export type ServerName = 'kafka' | 'etcd' | 's3' | 'redis'
export interface Launch {
  readonly command: string
  readonly args: readonly string[]
  /** host:port, or what S3 needs. */
  readonly endpoint: unknown
  ready(): boolean | Promise<boolean>
}
export const servers: Readonly<
  Record<
    ServerName,
    { install(): void; prepare(dir: string, log: number, settings?: readonly string[]): Promise<Launch> }
  >
>
export function launchServer(
  name: string,
  launch: Launch,
  log: number,
  started?: (child: ChildProcess) => void,
): Promise<ChildProcess>
