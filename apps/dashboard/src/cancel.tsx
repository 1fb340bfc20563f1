import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useRef, type ReactNode } from 'react'
import { newKey, post } from './api.ts'
import { canCancel, type Job } from './view.ts'

/** Asks first; one key for each time it is asked, so that a repeated request is done once. */
export function Cancel({ job }: { job: Job }): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null)
  const client = useQueryClient()
  const cancel = useMutation({
    mutationFn: (key: string) => post(`jobs/${encodeURIComponent(job.jobId)}/cancel`, key),
    onSuccess: async () => {
      dialog.current?.close()
      await client.invalidateQueries()
    },
  })
  return (
    <>
      <button type="button" disabled={!canCancel(job.state)} onClick={() => dialog.current?.showModal()}>
        Cancel job…
      </button>
      <dialog ref={dialog} aria-labelledby="cancel-title">
        <h2 id="cancel-title">Cancel {job.jobId}?</h2>
        <p>What is published is committed, nothing is left open.</p>
        {cancel.error && <p role="alert">{cancel.error.message}</p>}
        <button type="button" onClick={() => dialog.current?.close()}>
          Keep it running
        </button>{' '}
        <button type="button" disabled={cancel.isPending} onClick={() => cancel.mutate(newKey())}>
          Cancel the job
        </button>
      </dialog>
    </>
  )
}
