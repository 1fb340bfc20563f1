/** The progress of one slice ↔ its message of control.proto. Pure, both ways. */
import type {
  ClaimCounts,
  LateCount,
  SliceMetrics,
  SliceProgress,
  SourceLow,
  SourceRate,
  SplitTime,
} from '@weir/dataflow'
import { operatorUid } from '@weir/model'
import { control } from '@weir/proto'
import { limitIn, limitOut } from './words.ts'

export function progressOut(of: SliceProgress): Omit<control.Progress, 'slice'> {
  const { recordsIn, recordsOut, watermark, reach, splits, claims, lows, late, rates, metrics } = of
  return {
    recordsIn,
    recordsOut,
    watermark,
    stateEntries: 0,
    reach: reach === undefined ? undefined : { active: reach ?? undefined },
    times: splits && { splits: [...splits] },
    aligned: lows && { sources: lows.map(({ source, low }) => ({ source, ...(low !== null && { low }) })) },
    claims: claims && { counts: [...claims] },
    late: late && { operators: [...late] },
    rates: rates && { sources: rates.map(rateOut) },
    metrics: metrics && metricsOut(metrics),
  }
}

/** What a task-manager does not tell stays absent. */
export function progressIn(of: control.Progress): SliceProgress {
  const { recordsIn, recordsOut, watermark, reach, times, aligned, claims, late, rates, metrics } = of
  return {
    recordsIn,
    recordsOut,
    watermark,
    ...(reach && { reach: reach.active ?? null }),
    ...(times && { splits: times.splits as unknown as readonly SplitTime[] }),
    ...(claims && { claims: claims.counts.map(claimsIn) }),
    ...(aligned && { lows: aligned.sources.map(lowIn) }),
    ...(late && { late: late.operators.map(lateCountIn) }),
    ...(rates && { rates: rates.sources.map(rateIn) }),
    ...(metrics && { metrics: metricsIn(metrics) }),
  }
}

const claimsIn = ({ operator, ...of }: control.ClaimCounts_Operator): ClaimCounts => ({
  operator: operatorUid(operator),
  ...of,
})

const lowIn = ({ source, low }: control.Aligned_Source): SourceLow => ({
  source: operatorUid(source),
  low: low ?? null,
})

const lateCountIn = ({ operator, records }: control.LateRecords_Operator): LateCount => ({
  operator: operatorUid(operator),
  records,
})

const rateOut = ({ source, limit, current, reason }: SourceRate): control.SourceRates_Source => ({
  ...{ source, ...limitOut(limit), current: current ?? undefined, reason: reason ?? '' },
})

const rateIn = ({ source, current, reason, ...limit }: control.SourceRates_Source): SourceRate => ({
  source: operatorUid(source),
  limit: limitIn(limit),
  current: current ?? null,
  reason: reason === '' ? null : (reason as SourceRate['reason']),
})

const metricsOut = ({ stages, operators, latency }: SliceMetrics): control.SliceMetrics => ({
  stages: [...stages],
  operators: [...operators],
  latency: latency && { sumMs: latency.sumMs, counts: [...latency.counts] },
})

const metricsIn = ({ stages, operators, latency }: control.SliceMetrics): SliceMetrics => ({
  stages: stages.map(({ stage, ...of }) => ({ stage: operatorUid(stage), ...of })),
  operators: operators.map(({ operator, ...of }) => ({ operator: operatorUid(operator), ...of })),
  ...(latency && { latency }),
})
