export { asked } from './asked.ts'
export { examine } from './examine.ts'
export * from './facts.ts'
export {
  DIAGNOSIS_CODES,
  judge,
  type Diagnosis,
  type DiagnosisCode,
  type Profile,
  type Severity,
  type Verdict,
} from './diagnosis.ts'
export { OFFSETS_LOG, TRANSACTION_LOG } from './kafka-checks.ts'
export { NEEDS_OF_ANY, needsOf, usesKafka, type JobNeeds } from './needs.ts'
