/** The graph of a job. */
import { Handle, Position, ReactFlow, type Edge, type Node, type NodeProps } from '@xyflow/react'
import '@xyflow/react/dist/style.css'
import { useMemo, type ReactNode } from 'react'
import { NODE_HEIGHT, NODE_WIDTH, placed, told, type GraphNode, type JobGraph } from './layout.ts'
import { Panel } from './parts.tsx'

type Operator = Node<{ readonly of: GraphNode }, 'operator'>

const OperatorNode = ({ data: { of } }: NodeProps<Operator>): ReactNode => (
  <div className={`operator ${of.connector === null ? '' : 'end'}`} title={told(of)}>
    {of.kind !== 'source' && <Handle type="target" position={Position.Left} isConnectable={false} />}
    <b>{of.uid}</b>
    <small>{told(of)}</small>
    {of.kind !== 'sink' && <Handle type="source" position={Position.Right} isConnectable={false} />}
  </div>
)
const NODE_TYPES = { operator: OperatorNode }
const LABELS = {
  'node.a11yDescription.default': 'A part of the job; the whole graph stands in the list of its parts too.',
}

export default function GraphPanel({ graph }: { graph: JobGraph }): ReactNode {
  const nodes = useMemo(
    () =>
      placed(graph).map(({ node, x, y }): Operator => ({
        ...{ id: node.uid, type: 'operator', position: { x, y }, data: { of: node } },
        ...{ width: NODE_WIDTH, height: NODE_HEIGHT, ariaLabel: `${node.uid}, ${told(node)}` },
      })),
    [graph],
  )
  const edges = useMemo(
    () =>
      graph.edges.map(({ from, to, by }): Edge => ({
        ...{ id: `${from} ${to}`, source: from, target: to, className: by, focusable: false },
        ariaLabel: `from ${from} to ${to}, ${by}`,
      })),
    [graph],
  )
  return (
    <Panel title="Graph" note={`${graph.nodes.length} parts, dashed where records change the subtask`}>
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
    </Panel>
  )
}
