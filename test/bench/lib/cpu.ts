/** CPU time of processes by kind of thread: what others on the machine do hardly changes it. */
import { readFile, readdir } from 'node:fs/promises'
import type { FleetProcess } from '../../../apps/cli/src/fleet.ts'

const TICKS_PER_SECOND = 100

/** Name of the threads → seconds, all processes together. Of threads that have ended nothing is counted. */
export type CpuSeconds = Readonly<Record<string, number>>

export async function cpuSeconds(processes: readonly FleetProcess[]): Promise<CpuSeconds> {
  const seconds: Record<string, number> = {}
  for (const { child } of processes) {
    const tasks = `/proc/${child.pid}/task`
    for (const task of await readdir(tasks)) {
      const stat = await readFile(`${tasks}/${task}/stat`, 'utf8').catch(() => null)
      if (stat === null) continue
      const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
      seconds[name] = (seconds[name] ?? 0) + secondsIn(stat)
    }
  }
  return seconds
}

/** Of one process, with the threads that have ended. */
export const cpuSecondsOf = async ({ child }: FleetProcess): Promise<number> =>
  secondsIn(await readFile(`/proc/${child.pid}/stat`, 'utf8'))

/** User and system time, of a process or a thread as /proc tells it; its name may hold spaces. */
function secondsIn(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

export const difference = (to: CpuSeconds, from: CpuSeconds): CpuSeconds =>
  Object.fromEntries(
    Object.entries(to)
      .map(([name, s]): [string, number] => [name, Number((s - (from[name] ?? 0)).toFixed(2))])
      .filter(([, s]) => s > 0),
  )
