/** One checkpoint by subtask: where its time went, and who failed. */
import { useState, type ReactNode } from 'react'
import { Problem, list } from './api.ts'
import { Shown, useKept } from './polled.tsx'
import { PARTS, PART_NAMES, asyncOf, taskBars, type CheckpointTask, type TaskBar } from './task-bars.ts'
import { milliseconds, type Checkpoint } from './view.ts'
import { VirtualTable } from './virtual-table.tsx'

const HEADS = ['Subtask', 'Task-manager', 'From trigger to durable', 'Align', 'Sync', 'Async', 'Upload', 'Prepare']
const WIDTH = 1_000
const LANE = 7

interface Answer {
  readonly epoch: number
  /** Null: the leader keeps only the newest. */
  readonly tasks: readonly CheckpointTask[] | null
}

async function asked(path: string, epoch: number): Promise<Answer> {
  try {
    return { epoch, tasks: await list<CheckpointTask>(`${path}/checkpoints/${epoch}/tasks`) }
  } catch (thrown) {
    if (thrown instanceof Problem && thrown.code === 'CHECKPOINT_UNKNOWN') return { epoch, tasks: null }
    throw thrown
  }
}

/** @param path of the job */
export function Tasks({ path, of }: { path: string; of: Checkpoint }): ReactNode {
  const { epoch, status } = of
  const isOver = status !== 'in-progress'
  const answer = useKept(
    `${path}/checkpoints/${epoch}/tasks/${isOver ? 'over' : ''}`,
    () => asked(path, epoch),
    !isOver,
  )
  return (
    <>
      <h3>
        Epoch {answer.data?.epoch ?? epoch} by subtask
        <small>those that failed first, then the slowest</small>
      </h3>
      <Shown of={answer}>
        {({ epoch, tasks }) =>
          tasks === null ? (
            <p className="empty">The leader keeps the newest epochs by subtask, and this one no more.</p>
          ) : (
            <Bars key={epoch} bars={taskBars(tasks)} />
          )
        }
      </Shown>
    </>
  )
}

function Bars({ bars }: { bars: readonly TaskBar[] }): ReactNode {
  const [asked, setAsked] = useState<number | null>(null)
  if (bars.length === 0) return <p className="empty">No subtask took part.</p>
  const told = bars.filter(({ task }) => task.reason !== null).map(({ task }) => task)
  const shown = told.find(({ subtask }) => subtask === asked) ?? told[0]
  return (
    <>
      <p className="legend quiet">
        {PARTS.map((part) => (
          <span key={part}>
            <i className={`part-${part}`} /> {PART_NAMES[part]}
          </span>
        ))}
      </p>
      <VirtualTable
        label="Checkpoint by subtask"
        className="tasks"
        heads={HEADS}
        count={bars.length}
        row={(index) => {
          const bar = bars[index]!
          const { task } = bar
          const times = [task.alignMs, task.syncMs, asyncOf(task), task.uploadMs, task.prepareMs]
          return {
            key: String(task.subtask),
            cells: [
              task.subtask,
              task.taskManagerId,
              task.status === 'acknowledged' ? (
                <Bar of={bar} />
              ) : (
                <Why of={task} isShown={task === shown} show={() => setAsked(task.subtask)} />
              ),
              ...times.map((ms) => (ms === null ? '–' : milliseconds(ms))),
            ],
          }
        }}
      />
      {shown && (
        <p className="reason" aria-live="polite">
          <b>Subtask {shown.subtask}</b> {shown.status}: {shown.reason}
        </p>
      )}
    </>
  )
}

/** Rows have one height: what does not fit is read below the table. */
function Why({
  of: { status, reason },
  isShown,
  show,
}: {
  of: CheckpointTask
  isShown: boolean
  show: () => void
}): ReactNode {
  if (reason === null) return <span className="busy">has not answered</span>
  return (
    <button type="button" className="bad" aria-pressed={isShown} onClick={show}>
      {status}: {reason}
    </button>
  )
}

/** Upload and prepare are lanes of their own, since they run at the same time. */
const Bar = ({ of: { segments, told } }: { of: TaskBar }): ReactNode => (
  <svg role="img" aria-label={told} viewBox={`0 0 ${WIDTH} ${2 * LANE}`} preserveAspectRatio="none">
    <title>{told}</title>
    {segments.map(({ part, from, to }) => (
      <rect
        key={part}
        className={`part-${part}`}
        x={from * WIDTH}
        y={part === 'prepare' ? LANE : 0}
        width={Math.max(1, (to - from) * WIDTH)}
        height={part === 'prepare' || part === 'upload' ? LANE : 2 * LANE}
      />
    ))}
  </svg>
)
