/**
 * Where a process is killed: when it is told something, or is about to tell something, it dies with the message in its hand
 * (`crash-here.ts`). Of a task-manager the messages are those between the process and its slots (libs/job/src/ports.ts,
 * libs/wire/src/control/slice-report.ts), of a job-manager those of its control streams (control.proto), and what it writes.
 */
export interface CrashPoint {
  readonly of: Role
  /** Of a command that is not carried out (task-manager) or not sent (job-manager), of a report that nobody hears, of a file that is not written. */
  readonly at: 'command' | 'report' | 'file'
  readonly type: string
  /** For people: what is at stake. */
  readonly about: string
  /** Only a process that takes over comes by it again: it is met once, at the start. */
  readonly once?: true
}

export type Role = 'task-manager' | 'job-manager'

export const CRASH_POINTS = {
  'before-deployment': {
    ...{ of: 'task-manager', at: 'command', type: 'deploy', once: true },
    about: 'slices are placed on a process that is gone',
  },
  'before-recovery': {
    ...{ of: 'task-manager', at: 'command', type: 'recover', once: true },
    about: 'nobody has fenced what was open',
  },
  'after-recovery': {
    ...{ of: 'task-manager', at: 'report', type: 'recovered', once: true },
    about: 'it has recovered, and nobody knows',
  },
  'while-processing': {
    ...{ of: 'task-manager', at: 'report', type: 'progress' },
    about: 'records are read and in no checkpoint',
  },
  'before-snapshot': {
    ...{ of: 'task-manager', at: 'command', type: 'trigger' },
    about: 'a checkpoint is asked for',
  },
  'before-acknowledgement': {
    ...{ of: 'task-manager', at: 'report', type: 'ack' },
    about: 'output is prepared, and no checkpoint names it',
  },
  'before-commit': {
    ...{ of: 'task-manager', at: 'command', type: 'commit' },
    about: 'a checkpoint is published, and its output is not committed',
  },
  'after-commit': {
    ...{ of: 'task-manager', at: 'report', type: 'committed' },
    about: 'output is committed, and nobody knows',
  },
  'leader-before-publish': {
    ...{ of: 'job-manager', at: 'report', type: 'ack' },
    about: 'tasks have acknowledged, and nothing is published',
  },
  'leader-while-publishing': {
    ...{ of: 'job-manager', at: 'file', type: 'publish' },
    about: 'one of the two arbiters has the checkpoint, the other one has not',
  },
  'leader-before-commit': {
    ...{ of: 'job-manager', at: 'command', type: 'commit' },
    about: 'a checkpoint is published, and not every task was told',
  },
  'leader-after-commit': {
    ...{ of: 'job-manager', at: 'report', type: 'committed' },
    about: 'output is committed, and the leader has not heard of it',
  },
} as const satisfies Readonly<Record<string, CrashPoint>>

export type CrashPointName = keyof typeof CRASH_POINTS
export const CRASH_POINT_NAMES = Object.keys(CRASH_POINTS) as readonly CrashPointName[]

/** A process dies at the n-th time it comes by the point. */
export interface Crash {
  readonly point: CrashPointName
  readonly nth: number
}
