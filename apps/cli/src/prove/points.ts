/**
 * Where a task-manager is killed: when it is told something, or is about to tell something, it dies with the message in its hand
 * (`crash-here.ts`). A message is one of those between the process and its slots: see libs/job/src/ports.ts and libs/wire/src/control/slice-report.ts.
 */
export interface CrashPoint {
  /** Of a command that is not carried out any more, or of a report that nobody hears. */
  readonly at: 'command' | 'report'
  readonly type: string
  /** For people: what is at stake. */
  readonly about: string
  /** Only a process that takes over comes by it again: it is met once, at the start. */
  readonly once?: true
}

export const CRASH_POINTS = {
  'before-deployment': {
    at: 'command',
    type: 'deploy',
    about: 'slices are placed on a process that is gone',
    once: true,
  },
  'before-recovery': { at: 'command', type: 'recover', about: 'nobody has fenced what was open', once: true },
  'after-recovery': { at: 'report', type: 'recovered', about: 'it has recovered, and nobody knows', once: true },
  'while-processing': { at: 'report', type: 'progress', about: 'records are read and in no checkpoint' },
  'before-snapshot': { at: 'command', type: 'trigger', about: 'a checkpoint is asked for' },
  'before-acknowledgement': { at: 'report', type: 'ack', about: 'output is prepared, and no checkpoint names it' },
  'before-commit': {
    at: 'command',
    type: 'commit',
    about: 'a checkpoint is published, and its output is not committed',
  },
  'after-commit': { at: 'report', type: 'committed', about: 'output is committed, and nobody knows' },
} as const satisfies Readonly<Record<string, CrashPoint>>

export type CrashPointName = keyof typeof CRASH_POINTS
export const CRASH_POINT_NAMES = Object.keys(CRASH_POINTS) as readonly CrashPointName[]

/** The process dies at the n-th time. */
export interface Crash {
  readonly point: CrashPointName
  readonly nth: number
}

/** In the environment of a process, JSON of a Crash. */
export const CRASH_VARIABLE = 'WEIR_PROVE_CRASH'
