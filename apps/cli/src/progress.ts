/**
 * How far a submit has come, for whoever waits. On a terminal one line that is drawn again; elsewhere a line for each stage that is
 * behind it; nothing where the output is for a program. It goes beside the result, to the standard error.
 *
 *     ███░░░ 3/6 upload  312 KiB  1.2 s
 */
export const SUBMIT_STAGES = ['bundle', 'plan', 'upload', 'preflight', 'deploy', 'running'] as const
export type SubmitStage = (typeof SUBMIT_STAGES)[number]
/** Of a job that has ended and goes on: its bundle is there. */
export const START_STAGES: readonly SubmitStage[] = ['preflight', 'deploy', 'running']

export interface Progress {
  /** It is there now; stages before it are done. `detail`: of this one, as far as it is known. Said again, it is a change of the detail. */
  at(stage: SubmitStage, detail?: string): void
  /** Nothing more is told. `failed`: the stage it stands at. */
  end(outcome: 'done' | 'failed'): void
}

export const QUIET: Progress = { at: () => {}, end: () => {} }

export interface ProgressStream {
  readonly isTTY?: boolean
  readonly columns?: number
  write(text: string): unknown
}

export interface ProgressDeps {
  readonly stream: ProgressStream
  /** Ms, of a clock that does not go back. */
  now(): number
  /** Calls until what it answers is called. */
  every(ms: number, call: () => void): () => void
}

const DRAW_MS = 100
const CLEAR_LINE = '\r\u001b[2K'
const COLUMNS_DEFAULT = 80

/** A bar, or lines, as the stream is. */
export const progressOn = (deps: ProgressDeps, stages: readonly SubmitStage[] = SUBMIT_STAGES): Progress =>
  deps.stream.isTTY === true ? new ProgressBar(deps, stages) : new ProgressLines(deps)

/** With the clock and the standard error of this process. */
export const progressHere = (stages: readonly SubmitStage[] = SUBMIT_STAGES): Progress =>
  progressOn(
    {
      stream: process.stderr,
      now: () => performance.now(),
      every: (ms, call) => {
        const timer = setInterval(call, ms).unref()
        return () => clearInterval(timer)
      },
    },
    stages,
  )

/** Ends the progress as the call ends; what is noted meanwhile comes behind it, since it would tear the bar. */
export async function followed<T>(
  progress: Progress,
  note: (text: string) => void,
  call: (note: (text: string) => void) => Promise<T>,
): Promise<T> {
  const notes: string[] = []
  let outcome: 'done' | 'failed' = 'failed'
  try {
    const answer = await call((text) => void notes.push(text))
    outcome = 'done'
    return answer
  } finally {
    progress.end(outcome)
    notes.forEach(note)
  }
}

interface Standing {
  readonly stage: SubmitStage
  readonly detail: string
  readonly sinceMs: number
}

class ProgressBar implements Progress {
  readonly #deps: ProgressDeps
  readonly #stages: readonly SubmitStage[]
  readonly #fromMs: number
  readonly #stop: () => void
  #standing: Standing | null = null

  constructor(deps: ProgressDeps, stages: readonly SubmitStage[]) {
    this.#deps = deps
    this.#stages = stages
    this.#fromMs = deps.now()
    this.#stop = deps.every(DRAW_MS, () => this.#draw())
  }

  at(stage: SubmitStage, detail = ''): void {
    this.#standing = { stage, detail, sinceMs: this.#deps.now() }
    this.#draw()
  }

  end(outcome: 'done' | 'failed'): void {
    this.#stop()
    if (this.#standing === null) return
    const { stream } = this.#deps
    // What comes of it is told by the result; where it stopped is told by nothing else.
    stream.write(outcome === 'done' ? CLEAR_LINE : `${CLEAR_LINE}failed at ${titleOf(this.#standing)}\n`)
    this.#standing = null
  }

  #draw(): void {
    if (this.#standing === null) return
    const { stream, now } = this.#deps
    const line = barLine(this.#standing, {
      stages: this.#stages,
      elapsedMs: now() - this.#fromMs,
      columns: stream.columns ?? COLUMNS_DEFAULT,
    })
    stream.write(`${CLEAR_LINE}${line}`)
  }
}

class ProgressLines implements Progress {
  readonly #deps: ProgressDeps
  #standing: Standing | null = null

  constructor(deps: ProgressDeps) {
    this.#deps = deps
  }

  at(stage: SubmitStage, detail = ''): void {
    const before = this.#standing
    if (before?.stage === stage) {
      this.#standing = { ...before, detail }
      return
    }
    this.#tell('')
    this.#standing = { stage, detail, sinceMs: this.#deps.now() }
  }

  end(outcome: 'done' | 'failed'): void {
    this.#tell(outcome === 'failed' ? ', failed' : '')
    this.#standing = null
  }

  #tell(how: string): void {
    if (this.#standing === null) return
    const { now, stream } = this.#deps
    const { sinceMs } = this.#standing
    stream.write(`${titleOf(this.#standing)}, ${seconds(now() - sinceMs)}${how}\n`)
  }
}

const titleOf = ({ stage, detail }: Standing): string => `${stage}${detail === '' ? '' : `: ${detail}`}`
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`

/** In one line, whatever the terminal's width: a second one could not be drawn again. */
export function barLine(
  { stage, detail }: Pick<Standing, 'stage' | 'detail'>,
  of: { readonly stages: readonly SubmitStage[]; readonly elapsedMs: number; readonly columns: number },
): string {
  const { stages, elapsedMs, columns } = of
  const at = stages.indexOf(stage) + 1
  const bar = '█'.repeat(at) + '░'.repeat(stages.length - at)
  const head = `${bar} ${at}/${stages.length} ${stage}`
  const tail = seconds(elapsedMs)
  const room = columns - 1 - head.length - tail.length - 2
  const middle = detail.length > room - 2 ? `${detail.slice(0, Math.max(0, room - 3))}…` : detail
  return [head, ...(middle.length > 1 ? [middle] : []), tail].join('  ').slice(0, Math.max(0, columns - 1))
}
