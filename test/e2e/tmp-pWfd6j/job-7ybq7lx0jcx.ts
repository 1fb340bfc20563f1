import { job, json, kafka } from '@weir/sdk'
import { isMainThread } from 'node:worker_threads'
if (!isMainThread) throw new Error('not in a worker')
export default job('thrower', (flow) => flow.from(kafka.topic('a', { value: json() })).to(kafka.sink('b')))
