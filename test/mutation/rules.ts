/**
 * Rules of PROTOCOL.md, each with the text that removes it from the real sources. Who uses them names the bounds or seeds
 * within which the hole must be found (test/exploration/teeth.ts).
 */
import type { Mutant } from './bundle.ts'

const arbiter = 'libs/metadata/src/arbiter.ts'
const coordinator = 'libs/checkpoint/src/coordinator.ts'
const recovery = 'libs/dataflow/src/sink-recovery.ts'
const outcome = 'libs/dataflow/src/outcome.ts'
const moves = 'libs/job/src/moves.ts'

/** Several changes of text where one rule stands in several places. */
export const rule = (hole: string, rule: string, ...edits: Omit<Mutant, 'hole' | 'rule'>[]): readonly Mutant[] =>
  edits.map((edit) => ({ hole, rule, ...edit }))

export const rules = {
  maxByEpoch: rule('A1', 'the highest epoch over both arbiters is the truth', {
    file: arbiter,
    find: 'return raiseMirror(next, view.manifest!, false)',
    replace: "return claimed({ ...next, phase: 'claimed' }, mirror)",
  }),
  sameManifest: rule(
    'A3',
    'after a publish without an answer only the same manifest is sent again',
    {
      file: coordinator,
      find: 'const unknowns = state.unknowns + 1\n',
      replace: `if (state) return giveUp({ ...state, phase: 'storing' }, 'store-failed', outcome.reason, event.now)
      const unknowns = state.unknowns + 1\n`,
    },
    {
      file: arbiter,
      find: 'if (state.pending !== null && !sameManifest(state.pending, ref)) {',
      replace: 'if (state === null) {',
    },
  ),
  settleFirst: rule('A4', 'no restart chooses its epoch while a publish is under way', {
    file: coordinator,
    find: 'return still({ ...state, closing: true }) // sent: wait (A3, A4)',
    replace: "return suspended({ ...state, phase: 'suspended' })",
  }),
  currentAttempt: rule('A4', 'reports of an attempt that is not current change nothing', {
    file: 'libs/job/src/machine.ts',
    find: "if ('slice' in event && !isCurrent(state, event.slice)) return still(state)",
    replace: 'void isCurrent',
  }),
  claimFirst: rule('A6', 'nothing is done to a job before the won swap of head.json', {
    file: arbiter,
    find: `{ ...common(state), phase: 'claiming-mirror', head: own, again },
        { type: 'swap-mirror', head: own, expected: tag },`,
    replace: `{ ...common(state), mirrorTag: tag, phase: 'reading-register', head: own, again },
        { type: 'read-register' },`,
  }),
  ownEtag: rule('A7', 'a refused swap of head.json that is not our own answer is a takeover', {
    file: arbiter,
    find: `      if (head?.nonce === state.head.nonce) return mirrored(state, state.head, tag!, state.asked)
      return superseded(state, 'head.json was changed by somebody else', head?.generation ?? null)`,
    replace: `      if (head?.nonce === state.head.nonce) return mirrored(state, state.head, tag!, state.asked)
      return raiseMirror({ ...common(state), mirrorTag: tag }, state.head.manifest!, state.asked)`,
  }),
  firstClaimNeedsBoth: rule('A6', 'the first claim of a term needs both arbiters', {
    file: arbiter,
    find: 'if (!state.owned || !state.again || state.pending !== null) break',
    replace: '',
  }),
  verifyClaim: rule('A8', 'a claim without etcd asks head.json again whether it is still ours', {
    file: arbiter,
    find: "return to({ ...common(state), phase: 'verifying-claim', head: state.head }, { type: 'read-mirror' })",
    replace: "return claimed({ ...common(state), degraded: true, phase: 'claimed' }, state.head.manifest)",
  }),
  answeredInTheEnd: rule('A4', 'who waits for a publish to restart is told when it is answered', {
    file: coordinator,
    find: 'if (state.closing) {\n        // The attempt is being given up',
    replace: 'if (state === null) {\n        // The attempt is being given up',
  }),
  toleratedAborts: rule(
    'B3',
    'more epochs given up in a row than the pool can carry restart the job',
    {
      file: coordinator,
      find: 'if (abortsInARow > state.options.toleratedAborts) {',
      replace: 'if (abortsInARow === -1) {',
    },
    { file: coordinator, find: "} else if (breaker.phase === 'open') {", replace: '} else if (abortsInARow === -1) {' },
  ),
  restartAbortsNothing: rule('A2', 'a restart aborts no transaction', {
    file: moves,
    find: "if (ending === null) return stop(state, 'leave', 'restart', times)",
    replace: "if (ending === null) return stop(state, 'abort', 'restart', times)",
  }),
  permit: rule('2.3', 'nothing is committed before it is published', {
    file: coordinator,
    find: "effects: [{ type: 'publish', checkpoint: event.checkpoint, ref: event.ref, again: 0 }],",
    replace: `effects: [
          { type: 'publish', checkpoint: event.checkpoint, ref: event.ref, again: 0 },
          {
            type: 'commit',
            permit: permitFor({ manifest: event.ref, headRevision: '', mirrorTag: '' }),
            attempt: event.checkpoint.attempt,
            upTo: new Map(
              state.manifest.subtasks.flatMap(({ subtask, sinks }) => {
                const due = Object.entries(sinks).filter(([, sink]) => sink.handles.length > 0)
                return due.length === 0
                  ? []
                  : [[subtask, Object.fromEntries(due.map(([uid, s]) => [uid, lastSequence(s.handles)]))]]
              }),
            ),
          },
        ],`,
  }),
  unknownIsUnknown: rule('A3', 'a publish without an answer is no success', {
    file: coordinator,
    find: 'const { outcome } = event\n',
    replace: `const outcome =
    event.outcome.kind === 'unknown'
      ? { kind: 'published', published: { manifest: state.ref, headRevision: '', mirrorTag: '' } }
      : event.outcome\n`,
  }),
  everyCommit: rule('A15', 'an epoch is final when every commit is confirmed', {
    file: coordinator,
    find: 'if (missing.size > 0) return still({ ...state, missing })',
    replace: '',
  }),
  allRecovered: rule('A11', 'no slice runs before every sink has resolved its handles', {
    file: 'libs/job/src/states/recovering.ts',
    find: "const step = allSlices(next, (s) => s.status === 'recovered') ? start(next, event) : still(next)",
    replace:
      "const step = allSlices(next, () => true) && state.coordinator.phase === 'suspended' ? start(next, event) : still(next)",
  }),
  endWhenSettled: rule('B5', 'a job ends by aborting only when what is published is final', {
    file: moves,
    find: 'const settled = publishedEpoch(state) <= coordinator.final',
    replace: 'const settled = coordinator !== null',
  }),
  endInOrder: rule('A10', 'transactions end in sequence order', {
    file: recovery,
    find: "phase: 'ending', restored: known, unproven: known.handles,",
    replace: "phase: 'ending', restored: known, unproven: [...known.handles].reverse(),",
  }),
  stopAtRefusal: rule('A10', 'the first refusal stops the rest', {
    file: recovery,
    find: `return endNext(proven(state, 'control-record'))
      return fence(state)`,
    replace: `return endNext(proven(state, 'control-record'))
      return state.unproven[1] === undefined || state.unproven[1].sequence < handle!.sequence
        ? fence(state)
        : endNext({ ...state, unproven: [...state.unproven.slice(1), handle!] })`,
  }),
  fenceThenRead: rule(
    'A11',
    'the marker is read after the fence',
    {
      file: recovery,
      find: "return { state: { ...state, phase: 'reading-marker' }, effect: { type: 'read-marker' } }",
      replace: 'return judgeNext(state)',
    },
    {
      file: recovery,
      find: `  const handleIds = state.restored.handles.map((h) => h.transactionalId)
  return { state: { ...state, phase: 'fencing' }, effect: { type: 'fence', handleIds } }`,
      replace: "  return { state: { ...state, phase: 'reading-marker' }, effect: { type: 'read-marker' } }",
    },
    {
      file: recovery,
      find: 'return judgeNext({ ...state, marker })',
      replace: `return {
        state: { ...state, marker, phase: 'fencing' },
        effect: { type: 'fence', handleIds: state.restored.handles.map((h) => h.transactionalId) },
      }`,
    },
  ),
  fenceAlways: rule('A12', 'recovery fences every id of the pool, also when everything has ended well', {
    file: recovery,
    find: 'if (handle === undefined) return fence(state)',
    replace:
      "if (handle === undefined) return { state: { ...state, phase: 'reading-marker' }, effect: { type: 'read-marker' } }",
  }),
  markerProves: rule('A14', 'what the marker proves to be healed is not healed again', {
    file: outcome,
    find: "if (marker >= sequence) return { kind: 'committed', by: 'healed-before' }",
    replace: "if (marker >= sequence) return { kind: 'lost' }",
  }),
  markerFromTheBeginning: rule('A14', 'there is a marker from the first moment on', {
    file: recovery,
    find: 'if (state.marker !== null) return done(state)',
    replace: 'if (state !== null) return done(state)',
  }),
  healInOrder: rule('A10', 'what is healed moves the marker for the one behind it', {
    file: recovery,
    find: "return judgeNext({ ...proven(state, 'heal'), marker: handle!.sequence })",
    replace: "return judgeNext(proven(state, 'heal'))",
  }),
  goneIsNotLost: rule('A14', 'what retention has deleted is not lost when the marker has it', {
    file: outcome,
    find: "? { kind: 'committed', by: 'marker' }",
    replace: "? { kind: 'lost' }",
  }),
} as const

const failover = 'libs/job/src/failover.ts'

/** Of jobs with several pipeline regions. */
export const regionRules = {
  regionSettlesFirst: rule('A4', 'a region chooses what it restores when no publish waits for its answer', {
    file: failover,
    find: "  if (state.coordinator.phase === 'publishing') return step // sent: wait (A3, A4)\n",
    replace: '',
  }),
  droppedWithThem: rule('A4', 'an epoch that was not sent is dropped when slices leave', {
    file: coordinator,
    find: "if (state.phase !== 'collecting' && state.phase !== 'storing') return still({ ...state, away })",
    replace: 'if (state) return still({ ...state, away })',
  }),
  provenTogether: rule('A15', 'an epoch is final when the recovery of who is away has proven its part', {
    file: coordinator,
    find: 'missing: SubtaskMap.from([...upTo.keys()].map((subtask) => [subtask, true])),',
    replace:
      'missing: SubtaskMap.from([...upTo.keys()].filter((s) => !state.away.has(s)).map((subtask) => [subtask, true])),',
  }),
  othersCommit: rule('A2', 'who works on commits its part of an epoch that others are away from', {
    file: coordinator,
    find: 'const here = new Map([...upTo].filter(([subtask]) => !state.away.has(subtask)))',
    replace: 'const here = new Map([...upTo].filter(() => state.away.size === 0))',
  }),
  regionRecovered: rule('A11', 'the sources of a region start when its sinks have resolved their handles', {
    file: 'libs/job/src/states/failing-over.ts',
    find: "  if (slicesAway(next).some((s) => s.status !== 'deployed')) return still(next)\n",
    replace: `  if (slicesAway(next).some((s) => s.status !== 'deployed')) return still(next)
  if (state) return onRecovered(stepTo(next, { at: 'recovering' }), { ...event, type: 'recovered', proofs: [] })\n`,
  }),
  othersInFlight: rule('B6', 'a failover does not begin while the last epoch is on its way', {
    file: failover,
    find: "if (coordinator.draining || ('last' in coordinator && coordinator.last)) return false\n",
    replace: '\n',
  }),
  inputOfAll: rule('B6', 'a region that comes back reads to the end of its input before the job ends', {
    file: failover,
    find: '{ ...all.get(s)!, inputEnded: false }',
    replace: 'all.get(s)!',
  }),
  currentSlice: rule('A4', 'a report counts when its slice is of the attempt it was deployed in', {
    file: 'libs/job/src/moves.ts',
    find: 'slice.jobId === state.spec.jobId && sameAttempt(slice.attempt, attemptOf(state, slice.subtask))',
    replace: 'slice.jobId === state.spec.jobId && slice.attempt.generation === state.generation',
  }),
} as const

export type RuleName = keyof typeof rules
