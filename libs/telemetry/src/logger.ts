/** Structured logs, one JSON object per line on stderr: stdout belongs to what a program answers. */
import { pino, destination, type Logger } from 'pino'

export type { Logger }

/** `level`: fatal error warn info debug trace silent. */
export const createLogger = (service: string, level = 'info'): Logger =>
  pino({ name: service, level, base: { service, pid: process.pid } }, destination({ dest: 2, sync: true }))
