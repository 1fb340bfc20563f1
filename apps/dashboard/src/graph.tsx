/** The graph of a job. */
import { Handle, Position, ReactFlow, type Edge, type Node, type NodeProps } from '@xyflow/react'
import '@xyflow/react/dist/style.css'
import type { GraphNodeView } from '@weir/job'
import { useEffect, useMemo, useState, type ReactNode } from 'react'
import { NODE_HEIGHT, NODE_WIDTH, placed, told, type JobGraph } from './layout.ts'
import { Panel } from './parts.tsx'
import { count, type Job } from './view.ts'
import { NO_FLOWS, flowing, worksOf, type Work } from './work.ts'

type Operator = Node<{ readonly of: GraphNodeView; readonly work: Work | undefined }, 'operator'>

const OperatorNode = ({ data: { of, work } }: NodeProps<Operator>): ReactNode => (
  <div className={`operator ${work?.tone ?? ''}`} title={told(of)}>
    {of.kind !== 'source' && <Handle type="target" position={Position.Left} isConnectable={false} />}
    <b>{of.uid}</b>
    <small>{told(of)}</small>
    <small className="work">{work?.told ?? '–'}</small>
    {of.kind !== 'sink' && <Handle type="source" position={Position.Right} isConnectable={false} />}
  </div>
)
const NODE_TYPES = { operator: OperatorNode }
const LABELS = {
  'node.a11yDescription.default': 'A part of the job; the whole graph stands in the list of its parts too.',
}

export default function GraphPanel({ graph, job }: { graph: JobGraph; job: Job }): ReactNode {
  const places = useMemo(() => placed(graph), [graph])
  const [flows, setFlows] = useState(NO_FLOWS)
  useEffect(() => setFlows((before) => flowing(before, Date.now(), job)), [job])
  const works = worksOf(graph, job)
  const nodes = places.map(({ node, x, y }): Operator => {
    const work = works.get(node.stage)
    return {
      ...{ id: node.uid, type: 'operator', position: { x, y }, data: { of: node, work } },
      ...{ width: NODE_WIDTH, height: NODE_HEIGHT },
      ariaLabel: [node.uid, told(node), ...(work ? [work.told] : [])].join(', '),
    }
  })
  const edges = graph.edges.map(({ from, to, by }): Edge => {
    const rate = flows.perSecond.get(from)
    return {
      ...{ id: `${from} ${to}`, source: from, target: to, className: by, focusable: false },
      ...(rate !== undefined && { label: `${count(rate)}/s` }),
      ariaLabel: `from ${from} to ${to}, ${by}`,
    }
  })
  return (
    <Panel title="Graph" note="records per second; dashed where they change the subtask">
      <div className="graph">
        <ReactFlow
          nodes={nodes}
          edges={edges}
          nodeTypes={NODE_TYPES}
          colorMode="system"
          ariaLabelConfig={LABELS}
          nodesDraggable={false}
          nodesConnectable={false}
          zoomOnScroll={false}
          preventScrolling={false}
          minZoom={0.1}
          maxZoom={1}
          fitView
        />
      </div>
      <p className="legend quiet">
        <i className="held" /> back-pressured
        <i className="busy" /> busy
        <i className="idle" /> has time
      </p>
    </Panel>
  )
}
