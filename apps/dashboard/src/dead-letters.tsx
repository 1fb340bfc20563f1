/** Records that failed, and their way back. */
import type { DeadLetter } from '@weir/dataflow'
import type { ReactNode } from 'react'
import { get, post } from './api.ts'
import { Ask } from './ask.tsx'
import { Paged, type Page } from './paged.tsx'
import { Panel, Table } from './parts.tsx'
import { replayable, time } from './view.ts'

export function DeadLetters({ id }: { id: string }): ReactNode {
  const path = `jobs/${encodeURIComponent(id)}/dead-letters`
  const ask = async (next: string | null): Promise<Page<DeadLetter>> => {
    const page = await get<{ letters: readonly DeadLetter[]; next: string | null }>(
      `${path}?limit=100${next === null ? '' : `&from=${next}`}`,
    )
    return { entries: page.letters, next: page.next }
  }
  const replay = (wish: object) => (_: string, key: string) => post(`${path}/replay`, key, wish)
  return (
    <Panel title="Dead letters" note="records that failed, oldest first in each partition">
      <Paged name={path} ask={ask}>
        {(letters) => (
          <>
            <p className="actions">
              <Ask
                wish={{
                  label: 'Replay all',
                  question: `Replay the dead letters of ${id}?`,
                  tells:
                    'Every record that can be goes back to where it was read, once, however often it is asked for.',
                  confirm: 'Replay them',
                  run: replay({ all: true }),
                }}
              />
            </p>
            <Table
              label="Dead letters"
              empty="None: no record has failed."
              columns={[
                { head: 'When' },
                { head: 'Read at' },
                { head: 'Operator' },
                { head: 'Error' },
                { head: 'Try', number: true },
                { head: 'Record' },
                { head: 'Replay' },
              ]}
              rows={letters.map((letter) => ({
                key: `${letter.partition}/${letter.offset}`,
                cells: [
                  time(letter.timestamp),
                  letter.origin ?? 'made by the job',
                  letter.operator,
                  <details>
                    <summary>{letter.error}</summary>
                    {letter.message}
                  </details>,
                  letter.attempt,
                  <code>{letter.value ?? '–'}</code>,
                  replayable(letter) ? (
                    <Ask
                      wish={{
                        label: 'Replay',
                        question: `Replay ${letter.origin}?`,
                        tells: 'It goes back to where it was read, once, and is worked on by what runs now.',
                        confirm: 'Replay it',
                        run: replay({ origins: [letter.origin] }),
                      }}
                    />
                  ) : (
                    <span className="quiet">{letter.replayed === null ? 'cannot be' : 'done'}</span>
                  ),
                ],
              }))}
            />
          </>
        )}
      </Paged>
    </Panel>
  )
}
