/** Every option there is, once. What an option means is the same at every command that takes it, as far as its text says. */

export interface Option {
  /** What stands behind it, as help shows it; absent: it is there or not. */
  readonly value?: string
  readonly repeatable?: true
  readonly about: string
}

export const OPTIONS = {
  set: { value: 'NAME=VALUE', repeatable: true, about: 'parameter of the job file' },
  id: { value: 'JOB-ID', about: 'id of the job; default: its name' },
  from: {
    value: 'FROM',
    about: 'EPOCH or savepoint NAME of the same id, JOB@EPOCH, JOB/NAME, or the URL of a savepoint’s folder',
  },
  'allow-dropped-state': {
    value: 'UID',
    repeatable: true,
    about: 'stored state that the job has no operator for any more',
  },
  'accept-repeated-output': { about: 'output behind an older epoch is written again' },
  sign: { value: 'KEY.pem', about: 'with an Ed25519 key, for fleets that run signed bundles only (WEIR_BUNDLE_KEYS)' },
  'no-wait': { about: 'answer at once; do not wait for what was asked for' },
  fresh: { about: 'begin anew: without state, under an id that no earlier run has used' },
  'data-dir': {
    value: 'DIR',
    about: 'what the job has come to stays there, for the next time; default: .weir/dev/JOB',
  },
  once: { about: 'do not watch the files: end when the job does' },
  min: { value: 'N', about: 'as far as the rate may be lowered while the job cannot follow, records/s' },
  source: { value: 'UID', about: 'of this source alone' },
  all: { about: 'all dead letters that can be replayed' },
  limit: { value: 'N', about: 'how many are shown; default 100' },
  at: { value: 'EPOCH|SAVEPOINT', about: 'another kept epoch, or a savepoint; default: the last final epoch' },
  split: { value: 'N', about: 'of state that is kept per split' },
  'no-count': { about: 'without the numbers of keys, which cost a look at everything' },
  kafka: { value: 'HOST:PORT,…', about: 'brokers; default: WEIR_KAFKA_BROKERS' },
  create: { about: 'topics that are missing' },
  partitions: {
    value: 'N',
    about: 'of what is created; default: as many as the widest topic that the job reads, or its parallelism',
  },
  receipts: { value: 'TOPIC', about: 'topic of the receipts; default: JOB-ID.receipts' },
  record: {
    value: 'TOPIC/PARTITION@OFFSET',
    about: 'of one record instead: which receipts say that it was read, or written, and of what input it was made',
  },
  shared: { value: 'TOPIC', repeatable: true, about: 'a topic that others write to as well' },
  topic: {
    value: 'TOPIC',
    repeatable: true,
    about: 'a topic that may be written to (ingest), is looked at (doctor), or that the record is of (debug)',
  },
  listen: {
    value: 'HOST:PORT',
    about: 'default 127.0.0.1:8090; beyond loopback WEIR_INGEST_TOKEN must be set',
  },
  form: { value: '63|68', about: 'bits of an id, where 17 decimal digits are not of 68' },
  profile: { value: 'PROFILE', about: 'production (default), or development, which forgives one broker' },
  fleet: { about: 'the fleet is asked: its own processes look at the servers, with their addresses and credentials' },
  redis: { value: 'env:NAME', repeatable: true, about: 'a Redis, by the variable that holds its URL' },
  input: { value: 'TOPIC=FILE', repeatable: true, about: 'records of a topic the job reads, a JSON value a line' },
  sample: { value: 'N', about: 'of topics without --input: their first N records, read from Kafka' },
  points: { value: 'POINT,…', about: 'crash points; default: all of them' },
  rounds: { value: 'N', about: 'how often each point; default 1' },
  seed: { value: 'N', about: 'chooses when each crash comes; default: one of its own, which is told' },
  checkpoint: { value: 'EPOCH', about: 'a kept one; default: the newest that has not read the record' },
  partition: { value: 'N', about: 'of the topic; of a generator, its split' },
  offset: { value: 'N', about: 'of the record in its partition' },
  job: {
    value: 'JOB.ts',
    about: 'its file, for breakpoints in it; default: the submitted bundle, for which a job-manager is asked',
  },
  'from-checkpoint': { about: 'the records of the partition between the checkpoint and this one go first' },
  'allow-calls': { about: 'calls of asyncMap are made; default: a record ends there' },
  inspect: { about: 'wait for a debugger; it stops at your breakpoints' },
  'inspect-brk': { about: 'as --inspect, and stop in front of the first function of the job' },
  'inspect-port': { value: 'PORT', about: 'on 127.0.0.1; default 9229, 0 for any' },
  share: { value: 'N%', about: 'of the keys; default 5%' },
  suffix: { value: 'TEXT', about: 'behind the names of the topics a canary writes to; default .canary' },
  'by-key': { about: 'compare how many outputs each key has, and not what is in them' },
  ignore: { value: 'FIELD', repeatable: true, about: 'of JSON values, at their top: not compared' },
  outputs: { value: 'N', about: 'outputs that must be compared before a canary passes; default 15000' },
  'allow-call': {
    value: 'UID',
    repeatable: true,
    about: 'an operator that calls something outside of the job, which the canary may call as well',
  },
  rest: { value: 'URL', about: 'REST address of a job-manager; default: WEIR_REST, then http://127.0.0.1:7080' },
  follow: { about: 'go on, until Ctrl-C, over restarts of the job-manager too' },
  'job-manager': { value: 'HOST:PORT,…', about: 'default: WEIR_JOB_MANAGERS, then 127.0.0.1:7070' },
  token: {
    value: 'TOKEN',
    about: 'default: WEIR_FLEET_TOKEN; without one a token of your issuer in WEIR_BEARER_TOKEN',
  },
  json: { about: 'machine-readable output: one JSON value, or one a line where the command goes on' },
  help: { about: 'of the command, or of all' },
} as const satisfies Readonly<Record<string, Option>>

export type OptionName = keyof typeof OPTIONS

type ValueOf<O extends Option> = O extends { readonly repeatable: true }
  ? readonly string[]
  : O extends { readonly value: string }
    ? string | undefined
    : boolean

/** As they were given: what is not there is `undefined`, `false` or empty. */
export type Values = { readonly [N in OptionName]: ValueOf<(typeof OPTIONS)[N]> }

/** Any command takes these. */
export const COMMON: readonly OptionName[] = ['json', 'help']
/** Of commands that ask a job-manager. */
export const REMOTE: readonly OptionName[] = ['job-manager', 'token']
