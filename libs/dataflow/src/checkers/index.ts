export { Checker, EXAMPLES_MAX, broken, type CheckerVerdict } from './checker.ts'
export { NoDuplicate, NoLoss } from './outputs.ts'
