/** Structured logs, one JSON object per line on stderr: stdout belongs to what a program answers. */
import { pino, destination, type Logger } from 'pino'

export type { Logger }

/** `level`: fatal error warn info debug trace silent. @param ids of the span a line belongs to (`Tracing.ids`) */
export const createLogger = (service: string, level = 'info', ids: () => object = () => ({})): Logger =>
  pino(
    { name: service, level, base: { service, pid: process.pid }, mixin: () => ids() },
    destination({ dest: 2, sync: true }),
  )
