/** Of what may be a file or the id of a job: an id has neither dots nor slashes. */
import { existsSync } from 'node:fs'

export const isJobFile = (named: string): boolean => /[./\\]/.test(named) || existsSync(named)
