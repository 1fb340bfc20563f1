import { job, json, kafka } from '@weir/sdk'
const topic = 'topic-' + process.pid
export default job('pid', (flow) => flow.from(kafka.topic(topic, { value: json() })).to(kafka.sink('b')))
