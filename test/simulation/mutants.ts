/**
 * Rules that only show in a whole fleet: what the drivers, the stores, the slices and the sinks must keep. The rules of
 * the pure machines are those of test/mutation/rules.ts; both are hunted here.
 */
import { regionRules, rule, rules } from '../mutation/rules.ts'

const stores = 'libs/metadata/src/etcd-stores.ts'
const election = 'libs/metadata/src/etcd-election.ts'
const checkpointStore = 'libs/metadata/src/checkpoint-store.ts'
const staged = 'libs/metadata/src/staged-output.ts'
const arbiter = 'libs/metadata/src/arbiter.ts'
const sink = 'libs/connectors/src/log/log-sink.ts'
const participation = 'libs/runtime/src/participation.ts'
const stageSnapshot = 'libs/runtime/src/stage-snapshot.ts'
const gate = 'libs/runtime/src/input-gate.ts'
const cut = 'libs/runtime/src/stage-cut.ts'
const redistribution = 'libs/checkpoint/src/redistribute.ts'
const epochs = 'libs/job/src/epoch-driver.ts'

const fleetRules = {
  handlesTravelOn: rule('A2', 'a snapshot lists every prepared transaction, those of given-up epochs too', {
    file: sink,
    find: 'return { sequence: this.#sequence, handles: [...this.#prepared] }',
    replace: 'return { sequence: this.#sequence, handles: this.#prepared.slice(-1) }',
  }),
  epochsNeverReused: rule('A1', 'an epoch number is never used again', {
    file: 'libs/job/src/states/claiming.ts',
    find: 'lastEpoch: Math.max(fresh.lastEpoch, state.coordinator.lastEpoch) as typeof fresh.lastEpoch,',
    replace: '',
  }),
  storeIsTheTruth: rule('A1', 'every attempt restores what its own claim found', {
    file: epochs,
    find: "return dispatch({ type: 'claimed', published, manifest })",
    replace: `const known = this.#deps.state().coordinator.published ?? outcome.published
        return dispatch({ type: 'claimed', published: known, manifest: known && (await checkpoints.readManifest(known)) })`,
  }),
  modRevision: rule('A5', 'a publish compares the mod revision of the head it replaces', {
    file: stores,
    find: ".and(key, 'Mod', '==', Number(expected))\n",
    replace: '\n',
  }),
  leaderKey: rule('A5', 'a publish compares the leader key', {
    file: stores,
    find: `const answer = await whileLeading(this.#scope)
        .and(key, 'Mod', '==', Number(expected))`,
    replace: `const answer = await client
        .if(key, 'Mod', '==', Number(expected))`,
  }),
  ifMatch: rule('A7', 'head.json is changed by compare-and-swap only', {
    file: checkpointStore,
    find: 'put(headKey(this.#jobId), bytes, condition)',
    replace: 'put(headKey(this.#jobId), bytes)',
  }),
  nonce: rule('A7', 'no two bodies of head.json are equal', {
    file: checkpointStore,
    find: "{ type: 'claim', nonce: this.#deps.random.nonce() }",
    replace: "{ type: 'claim', nonce: 'always the same' }",
  }),
  higherGenerationStops: rule('A7', 'a higher generation in head.json stops a leader', {
    file: arbiter,
    find: 'if (head !== null && head.generation > state.generation) {\n        return superseded(state, `head.json belongs',
    replace: 'if (head === undefined) {\n        return superseded(state, `head.json belongs',
  }),
  generationGrows: rule('C1', 'a generation is higher than every one before it', {
    file: election,
    find: 'const own = Math.max(revision, last + 1)',
    replace: 'const own = Math.max(revision, 1)',
  }),
  unknownPublish: rule('A3', 'a publish whose call failed is unknown, never refused', {
    file: epochs,
    find: "const outcome = { kind: fenced ? 'superseded' : 'unknown', reason } as const",
    replace: "const outcome = { kind: 'superseded', reason } as const",
  }),
  commitInOrder: rule('A10', 'a sink ends its transactions in sequence order', {
    file: sink,
    find: 'for (let handle = this.#prepared[0]; handle !== undefined && handle.sequence <= upTo; handle = this.#prepared[0]) {',
    replace: `this.#prepared.reverse()
    for (let handle = this.#prepared[0]; handle !== undefined && handle.sequence <= upTo; handle = this.#prepared[0]) {`,
  }),
  refusalStopsTheRest: rule('A10', 'the first refused commit stops the rest and ends the attempt', {
    file: sink,
    find: "throw new WeirError(\n          { code: 'COMMIT_REFUSED'",
    replace:
      "if (sequence > 0) {\n          this.#prepared.shift()\n          continue\n        }\n        throw new WeirError(\n          { code: 'COMMIT_REFUSED'",
  }),
  refusedIsNotCommitted: rule('A15', 'a slice whose commit was refused does not report it committed', {
    file: participation,
    find: "this.#scope.fail(asWeirError(error, 'COMMIT_REFUSED'))",
    replace: "deps.report({ type: 'committed', epoch })\n        void error",
  }),
  onlyWhatIsNamed: rule('C6', 'a commit ends the named sequences and nothing behind them', {
    file: sink,
    find: 'handle !== undefined && handle.sequence <= upTo;',
    replace: 'handle !== undefined;',
  }),
  fencedPool: rule('A11', 'recovery fences the whole pool before anything is written', {
    file: sink,
    find: "return { id, identity: await this.#log.initProducer(id, transactionTimeoutMs), state: 'free' }",
    replace: `const there = handleIds.length > 0 && !handleIds.includes(id)
        const identity = there ? { producerId: '0', producerEpoch: 0 } : await this.#log.initProducer(id, transactionTimeoutMs)
        return { id, identity, state: 'free' }`,
  }),
  awakeToFence: rule('A11', 'who has stood still in a recovery takes no id over', {
    file: sink,
    find: '        awake()\n',
    replace: '',
  }),
  stagedBeforeAck: rule('A16', 'staged output is durable before the handle is acknowledged', {
    file: sink,
    find: 'const [staged] = await Promise.all([open.staging?.finish(), marked])',
    replace: `void open.staging?.finish().catch(() => undefined)
    await marked
    const staged = undefined as StagedRef | undefined`,
  }),
  stagedUntilFinal: rule('A16', 'staged output is kept until its epoch is final', {
    file: 'libs/dataflow/src/staged-retention.ts',
    find: 'if (handle.staged !== undefined) this.#ended.push(handle.staged)',
    replace: 'if (handle.staged !== undefined) void this.#staged.delete(handle.staged).catch(() => undefined)',
  }),
  sweepEarlierOnly: rule('A22', 'a zombie deletes nothing of a later attempt', {
    file: staged,
    find: "return of === 'this-attempt' ? same : earlier",
    replace: "return of === 'this-attempt' ? same : earlier || !same",
  }),
  outcomeFromTheLog: rule('A14', 'a refusal decides nothing: the log is asked', {
    file: 'libs/dataflow/src/sink-recovery.ts',
    find: "return { state: { ...state, phase: 'asking' }, effect: { type: 'read-control', handle: handle! } }",
    replace: 'return fence(state)',
  }),
  silenceIsNoRefusal: rule('C8', 'an EndTxn without an answer is no refusal', {
    file: sink,
    find: 'if (isRefusal(error)) return false',
    replace: 'void isRefusal\n      if (error) return false',
  }),
  healOnlyOnce: rule('A14', 'a healing carries the marker of what it heals', {
    file: sink,
    find: '    await this.#commitMarker(handle.sequence)\n  }',
    replace: `    const pooled = this.#pool[0]!
    pooled.identity = await this.#log.end({ transactionalId: pooled.id, ...pooled.identity }, true)
  }`,
  }),
  markerInTransaction: rule('A10', 'the marker is part of the transaction it counts', {
    file: sink,
    find: 'const marked = this.#log.mark({ transactionalId, ...open.identity }, { group: this.#group, sequence })',
    replace: 'const marked = Promise.resolve()',
  }),
  answeredIdentity: rule('C7', 'a producer goes on with the identity the broker answered', {
    file: sink,
    find: "if (pooled) Object.assign(pooled, { identity, state: 'free' })",
    replace: `if (pooled) {
          const { producerId, producerEpoch } = handle
          Object.assign(pooled, { identity: { producerId, producerEpoch: producerEpoch + 1 }, state: 'free' })
          void identity
        }`,
  }),
  orderOfTransactions: rule('A15', 'a transaction stays behind the one before it in the log', {
    file: sink,
    find: 'staging, sending: this.#sent, failure: null',
    replace: 'staging, sending: Promise.resolve(), failure: null',
  }),
  commitBesideTheLoop: rule('B3', 'a commit frees an id while the sink waits for one', {
    file: sink,
    find: `      this.#retention?.ended(handle)
      this.#wakeAll()`,
    replace: '      this.#retention?.ended(handle)',
  }),
  positionAtTheBarrier: rule('A20', 'the position of a source is that of its barrier', {
    file: stageSnapshot,
    find: 'position: this.#position,',
    replace: 'position: this.#position && { ...this.#position, state: this.#run.source!.reader.snapshot() },',
  }),
  aligned: rule('A20', 'what is behind a barrier waits until all channels have it', {
    file: gate,
    find: 'if (this.#blocked[channel]) {',
    replace: 'if (this.#blocked[channel] && channel < 0) {',
  }),
  heldInOrder: rule('A20', 'what was held back comes before what has arrived since', {
    file: gate,
    find: `        this.#held.forEach((elements) => this.#ready.push(...elements))
        this.#held = this.#channels.map(() => [])
        this.#blocked = this.#channels.map(() => false)
        this.#ready.push(...later)`,
    replace: `        this.#ready.push(...later)
        this.#held.forEach((elements) => this.#ready.push(...elements))
        this.#held = this.#channels.map(() => [])
        this.#blocked = this.#channels.map(() => false)`,
  }),
  overtakenIsStored: rule('B9', 'what a barrier overtakes in front of a stage is in its epoch', {
    file: cut,
    find: "{ side: 'received' as const, flight: received ?? null }",
    replace: "{ side: 'received' as const, flight: received === undefined ? null : null }",
  }),
  bothSidesOfTheCut: rule('B9', 'what a barrier overtakes on the way out of a stage is in its epoch', {
    file: cut,
    find: "{ side: 'unsent' as const, flight: this.#unsent }",
    replace: "{ side: 'unsent' as const, flight: null }",
  }),
  capturedUntilTheBarrier: rule('B9', 'what arrives before the last barrier of an epoch that overtook is in it', {
    file: gate,
    find: 'if (this.#capturing.has(channel) && !isBarrier) this.#captured(entry)',
    replace: '',
  }),
  giveUpUnblocks: rule('A20', 'a given-up epoch is waited for no longer', {
    file: participation,
    find: '      run.gate?.giveUp(checkpoint)\n',
    replace: '',
  }),
  preparedOrOver: rule('A2', 'a sink that could not prepare ends the attempt', {
    file: stageSnapshot,
    find: "prepared.catch((error: unknown) => this.#scope.fail(asWeirError(error, 'PREPARE_FAILED')))\n      this.#begun.push(prepared)",
    replace: `this.#begun.push(
        prepared.catch((error: unknown) => {
          void error
          this.#sinks[node.uid] = { sequence: 0, handles: [] }
        }),
      )`,
  }),
  failedStandsStill: rule('A15', 'a failed slice stops working', {
    file: 'libs/runtime/src/slice-scope.ts',
    find: '    this.end(named)\n',
    replace: '',
  }),
  claimBeforeDeploy: rule('A8', 'a deploy follows a fresh claim', {
    file: 'libs/job/src/states/placing.ts',
    find: 'if (event.now - state.claimedMs > CLAIM_FRESH_MS) {',
    replace: 'if (event.now - state.claimedMs > CLAIM_FRESH_MS && state.claimedMs < 0) {',
  }),
  claimEveryAttempt: rule('A6', 'every attempt begins with a claim', {
    file: epochs,
    find: 'const outcome = await checkpoints.claim()\n',
    replace: `const known = this.#deps.state().coordinator.published
        const outcome = this.#deps.state().attempt > 0
          ? ({ kind: 'claimed', published: known, headRevision: '', mirrorTag: '' } as const)
          : await checkpoints.claim()\n`,
  }),
} as const

/** Of jobs that rescale. */
export const rescaleRules = {
  narrowedToItsOwner: rule(
    'A20',
    'of a segment each subtask restores what its owner owned: what it held before is stale',
    {
      file: redistribution,
      find: 'const only = intersection(segment.only ?? segment.keyGroups, wanted)',
      replace: 'const only = segment.only ?? segment.keyGroups',
    },
  ),
  retiredInCare: rule('B4', 'sinks of subtasks that are no more are recovered by one that is there', {
    file: redistribution,
    find: 'for (let k = to.parallelism; k < to.highestParallelism; k++) {',
    replace: 'for (let k = to.parallelism; k < to.parallelism; k++) {',
  }),
  highestEver: rule('B4', "a job's record keeps the highest parallelism it ever had", {
    file: 'apps/job-manager/src/job-changes.ts',
    find: 'highestParallelism: Math.max(subtasksOf(specOf(record)), parallelism),',
    replace: 'highestParallelism: parallelism,',
  }),
} as const

export const allRules = { ...rules, ...fleetRules, ...regionRules, ...rescaleRules }
export type AnyRule = keyof typeof allRules
