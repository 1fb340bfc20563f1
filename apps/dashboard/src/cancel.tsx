import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useRef, useState, type ReactNode } from 'react'
import { newKey, post } from './api.ts'
import { canCancel, type Job } from './view.ts'

/** Asks first. The key is made when it asks: a retry in the open dialog is the same wish, and is done once. */
export function Cancel({ job }: { job: Job }): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null)
  const [key, setKey] = useState('')
  const client = useQueryClient()
  const cancel = useMutation({
    mutationFn: () => post(`jobs/${encodeURIComponent(job.jobId)}/cancel`, key),
    onSuccess: async () => {
      dialog.current?.close()
      await client.invalidateQueries()
    },
  })
  const ask = (): void => {
    cancel.reset()
    setKey(newKey())
    dialog.current?.showModal()
  }
  return (
    <>
      <button type="button" disabled={!canCancel(job.state)} onClick={ask}>
        Cancel job…
      </button>
      <dialog ref={dialog} aria-labelledby="cancel-title">
        <h2 id="cancel-title">Cancel {job.jobId}?</h2>
        <p>What is published is committed, nothing is left open.</p>
        {cancel.error && <p role="alert">{cancel.error.message}</p>}
        <button type="button" onClick={() => dialog.current?.close()}>
          Keep it running
        </button>{' '}
        <button type="button" className="danger" disabled={cancel.isPending} onClick={() => cancel.mutate()}>
          Cancel the job
        </button>
      </dialog>
    </>
  )
}
