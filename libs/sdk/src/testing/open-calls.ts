/** Calls of user code that have not been answered: a job under test does not rest before. */
import type { GraphNode, JobDefinition } from '@weir/dataflow'

type Call = (value: unknown, context: { readonly signal: AbortSignal }) => unknown

export class OpenCalls {
  #open = 0

  get none(): boolean {
    return this.#open === 0
  }

  /** The job with its calls counted; nothing else about it is different. */
  counted(job: JobDefinition): JobDefinition {
    const nodes = job.graph.nodes.map((node): GraphNode => {
      if (!('call' in node) || typeof node.call !== 'function') return node
      return Object.assign({ ...node }, { call: this.#counted(node.call as Call) })
    })
    return { ...job, graph: { ...job.graph, nodes } }
  }

  #counted(call: Call): Call {
    return (value, context) => {
      const answer = call(value, context)
      if (!(answer instanceof Promise)) return answer
      this.#open++
      let isOpen = true
      const end = (): void => {
        if (isOpen) this.#open--
        isOpen = false
      }
      answer.then(end, end)
      context.signal.addEventListener('abort', end, { once: true }) // given up: its answer counts for nothing
      return answer
    }
  }
}
