/**
 * How long a slice took for a checkpoint, ms; of its stages the longest, since they are at work one behind the other and
 * at the same time. For people: nothing is decided by it.
 */
export interface AckTimes {
  /** Between the first barrier and the last. */
  readonly alignMs: number
  /** Its loop stood still. */
  readonly syncMs: number
  /** From the trigger until everything was durable. */
  readonly asyncMs: number
  /** From the trigger until its last stage had taken its snapshot. */
  readonly cutMs: number
  /** From a stage's snapshot until its sinks had prepared, and until its state was durable. Both are at work at the same time. */
  readonly prepareMs: number
  readonly uploadMs: number
}

/** An older task-manager tells less; what is absent was not told. */
export type ToldTimes = Pick<AckTimes, 'alignMs' | 'syncMs' | 'asyncMs'> & Partial<AckTimes>
