export { Checker, EXAMPLES_MAX, NoDuplicate, NoLoss, broken, type CheckerVerdict as Verdict } from '@weir/dataflow'
export { Fencing, type Act } from './fencing.ts'
export { InOrder } from './in-order.ts'
export { StuckReader } from './stuck-reader.ts'
