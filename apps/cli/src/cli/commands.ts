/** The commands, once: help, completions, docs/CLI.md and what is accepted are all made of this table. */
import { CRASH_POINTS, type CrashPoint } from '../prove/points.ts'
import { COMMON, REMOTE, type OptionName } from './options.ts'

export interface Command {
  /** One word, or two: `state ls`. */
  readonly name: string
  /** As help shows them; `[…]` may be left out. */
  readonly args: string
  readonly about: string
  /** Beside `json` and `help`. */
  readonly options: readonly OptionName[]
  /** It asks a job-manager. */
  readonly remote?: true
  /** Names that an option takes, and what they mean. */
  readonly names?: { readonly of: string; readonly about: readonly (readonly [name: string, about: string])[] }
  /** Why it ends with 1: the command was carried out, and its answer is no. */
  readonly no?: string
}

const START = ['from', 'allow-dropped-state', 'accept-repeated-output'] as const

export const COMMANDS = [
  {
    name: 'dev',
    args: 'JOB.ts',
    about:
      'run a job here (a TypeScript file, or a pipeline in YAML), without any server; a changed file, and the next time, go on from its state',
    options: ['set', 'id', 'once', 'fresh', 'data-dir'],
    no: 'the job failed',
  },
  {
    name: 'validate',
    args: 'JOB.yaml…',
    about: 'what is wrong with pipelines, by line and column',
    options: ['set'],
  },
  {
    name: 'submit',
    args: 'JOB.ts',
    about: 'bundle and submit a job, wait until it runs',
    options: ['set', 'id', ...START, 'sign', 'no-wait'],
    remote: true,
    no: 'the job failed',
  },
  {
    name: 'start',
    args: 'JOB-ID',
    about: 'a job that has ended goes on, from its newest epoch or --from',
    options: [...START, 'no-wait'],
    remote: true,
    no: 'the job failed',
  },
  { name: 'jobs', args: '', about: 'list the jobs', options: [], remote: true },
  {
    name: 'get',
    args: 'JOB-ID',
    about: 'one job, with the reason of its last failure and its alerts',
    options: [],
    remote: true,
  },
  {
    name: 'describe',
    args: 'JOB-ID|JOB.ts',
    about: 'its sources, operators and sinks, and how records go between them',
    options: ['set'],
    remote: true,
  },
  {
    name: 'logs',
    args: '[JOB-ID]',
    about: 'what happens to a job, or to all: states, restarts, alerts, checkpoints given up',
    options: ['follow', 'rest', 'token'],
  },
  { name: 'cancel', args: 'JOB-ID', about: 'end a job; what is published is committed', options: [], remote: true },
  {
    name: 'rescale',
    args: 'JOB-ID N',
    about: 'go on with N subtasks, at a checkpoint taken for it',
    options: [],
    remote: true,
  },
  {
    name: 'rate',
    args: 'JOB-ID N|none',
    about: 'read its sources with at most N records/s from now on, without a restart',
    options: ['min', 'source'],
    remote: true,
  },
  {
    name: 'degrade',
    args: 'JOB-ID on|off',
    about: 'turn its degrade switch: user code sees it as context.degraded, from the next barrier on',
    options: [],
    remote: true,
  },
  {
    name: 'savepoint',
    args: 'JOB-ID NAME',
    about: 'keep the state of a running job under a name',
    options: ['no-wait'],
    remote: true,
  },
  {
    name: 'stop',
    args: 'JOB-ID NAME',
    about: 'stop a job with a savepoint: nothing that was read is outside of it',
    options: ['no-wait'],
    remote: true,
  },
  { name: 'savepoints', args: '[JOB-ID]', about: 'list savepoints', options: [], remote: true },
  { name: 'savepoints delete', args: 'JOB-ID NAME', about: 'delete one', options: [], remote: true },
  {
    name: 'canary start',
    args: 'JOB-ID JOB.ts',
    about: 'a new version beside the running job, from a savepoint of it, on topics that nobody reads',
    options: [
      ...(['share', 'set', 'by-key', 'ignore', 'outputs', 'suffix', 'allow-call'] as const),
      ...(['allow-dropped-state', 'sign', 'kafka'] as const),
    ],
    remote: true,
    no: 'the canary failed',
  },
  {
    name: 'canary status',
    args: 'JOB-ID',
    about: 'compare outputs of the job and its canary, key by key',
    options: ['kafka'],
    remote: true,
    no: '0.02 % or more differ, or too little was compared',
  },
  {
    name: 'canary step',
    args: 'JOB-ID JOB.ts',
    about: 'if it passes, take more of the keys: 5, 25, 50, 100 %',
    options: ['set', 'allow-dropped-state', 'sign', 'kafka'],
    remote: true,
    no: 'it does not pass, and goes on as it was',
  },
  {
    name: 'canary promote',
    args: 'JOB-ID JOB.ts',
    about: 'if it passes with all keys, the job stops with a savepoint and goes on with the new version',
    options: ['set', 'allow-dropped-state', 'sign', 'kafka'],
    remote: true,
    no: 'it does not pass, and nothing was done',
  },
  {
    name: 'canary abort',
    args: 'JOB-ID',
    about: 'end it and delete its topics, say what differed; the job is not touched',
    options: ['kafka'],
    remote: true,
  },
  {
    name: 'state ls',
    args: 'JOB-ID',
    about: 'operators, states, schema versions, keys and bytes of the last final epoch',
    options: ['at', 'no-count'],
    remote: true,
  },
  {
    name: 'state get',
    args: 'JOB-ID OPERATOR STATE KEY',
    about: 'what is stored for a key',
    options: ['at', 'split'],
    remote: true,
    no: 'nothing is stored for it',
  },
  {
    name: 'state diff',
    args: 'JOB-ID EPOCH EPOCH',
    about: 'keys that were added, changed, removed between two kept epochs',
    options: ['limit'],
    remote: true,
  },
  {
    name: 'state check',
    args: 'JOB-ID JOB.ts',
    about: 'can this build go on from the job’s state?',
    options: ['at', 'set', 'allow-dropped-state'],
    remote: true,
    no: 'it cannot',
  },
  {
    name: 'dlq list',
    args: 'JOB-ID',
    about: 'dead letters: records that could not be processed',
    options: ['limit'],
    remote: true,
  },
  {
    name: 'dlq replay',
    args: 'JOB-ID ORIGIN…|--all',
    about: 'put them back where they were read, each once',
    options: ['all'],
    remote: true,
    no: 'some were refused',
  },
  {
    name: 'verify',
    args: 'JOB-ID',
    about: 'an audited job: are inputs, outputs and receipts what they were?',
    options: ['kafka', 'receipts', 'shared', 'record'],
    no: 'something does not fit, or there is no receipt (of the record)',
  },
  {
    name: 'txn list',
    args: '[JOB-ID]',
    about: 'transactions that are open, prepared or published',
    options: [],
    remote: true,
  },
  {
    name: 'txn commit',
    args: 'TXN-ID',
    about: 'commit what a published epoch names, and what is before it',
    options: [],
    remote: true,
  },
  {
    name: 'txn abort',
    args: 'TXN-ID',
    about: 'abort what none names, of a job that does not run',
    options: [],
    remote: true,
  },
  {
    name: 'doctor',
    args: '[JOB.ts]',
    about:
      'are the servers fit for exactly-once, and for this job? As this machine reaches them; with --fleet (and then JOB-ID, too) as the fleet does',
    options: ['set', 'profile', 'kafka', 'topic', 'redis', 'fleet'],
    remote: true,
    no: 'something is unsafe',
  },
  {
    name: 'topics',
    args: 'JOB.ts',
    about:
      'the Kafka topics a job reads and writes, and whether they are there; --create creates those that are missing',
    options: ['set', 'kafka', 'create', 'partitions'],
    no: 'a topic is missing',
  },
  {
    name: 'prove',
    args: 'JOB.ts',
    about: 'kill this job at named points, on a fleet and a log of its own here: is anything lost or repeated?',
    options: ['set', 'input', 'sample', 'kafka', 'points', 'rounds', 'seed'],
    names: {
      of: 'crash point',
      about: Object.entries(CRASH_POINTS).map(([name, { of, about }]: [string, CrashPoint]) => [
        name,
        `a ${of} dies: ${about}`,
      ]),
    },
    no: 'something was lost or repeated, stood still, or a point was not reached',
  },
  {
    name: 'debug',
    args: 'JOB-ID',
    about:
      'one record again, here, with the state of a checkpoint: what it puts out and changes, and a debugger; nothing is written',
    options: [
      ...(['partition', 'offset', 'checkpoint', 'from-checkpoint', 'source', 'topic', 'job', 'set'] as const),
      ...(['allow-calls', 'inspect', 'inspect-brk', 'inspect-port', 'kafka'] as const),
    ],
    remote: true,
    no: 'the record fails, or is a dead letter',
  },
  {
    name: 'ingest',
    args: '',
    about: 'records by HTTP into topics; 2xx when they are durable',
    options: ['topic', 'listen', 'kafka'],
  },
  { name: 'dtxid parse', args: 'ID…', about: 'the fields of a transaction id', options: ['form'] },
  { name: 'dtxid inspect', args: 'ID…', about: 'when and where a transaction id was made', options: ['form'] },
  { name: 'completions', args: 'bash|zsh|fish', about: 'a script that completes commands and options', options: [] },
  {
    name: 'version',
    args: '',
    about: 'of weir and of the Node that runs it; `weir --version` is the same',
    options: [],
  },
] as const satisfies readonly Command[]

export type CommandName = (typeof COMMANDS)[number]['name']

export const optionsOf = ({ options, remote }: Command): readonly OptionName[] => [
  ...new Set<OptionName>([...options, ...(remote === true ? REMOTE : []), ...COMMON]),
]

/** Of every command. */
export const EXIT_CODES = [
  [0, 'done'],
  [1, 'carried out, and the answer is no: the job failed, something is unsafe or does not fit'],
  [2, 'wrong usage or input, or what the job-manager refuses: the same command fails again'],
  [3, 'not reachable, or not now: the same command may succeed later'],
] as const
