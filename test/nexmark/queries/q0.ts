/** Pass-through: every bid. */
import type { Query } from '../job.ts'
import { isBid } from '../model.ts'

export const q0: Query = ({ events }) => events.filter(isBid)
