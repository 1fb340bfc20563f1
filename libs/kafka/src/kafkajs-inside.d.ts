// What of kafkajs' inner modules is used; it has no types of its own for them.
declare module 'kafkajs/src/cluster/index.js' {
  interface Connection {
    isConnected(): boolean
    readonly requestQueue: { readonly inflight: ReadonlyMap<number, unknown>; readonly pending: readonly unknown[] }
  }
  interface Broker {
    readonly nodeId: string
    connectionPool: { send(call: unknown): Promise<unknown>; readonly pool: readonly Connection[] }
  }
  class Cluster {
    constructor(options: Record<string, unknown>)
    connect(): Promise<void>
    disconnect(): Promise<void>
    refreshMetadata(): Promise<void>
    addTargetTopic(topic: string): Promise<void>
    findTopicPartitionMetadata(topic: string): { partitionId: number; leader: number }[]
    findBroker(of: { nodeId: string }): Promise<Broker>
    findGroupCoordinator(of: { groupId: string; coordinatorType: number }): Promise<Broker>
    findControllerBroker(): Promise<Broker>
    readonly brokerPool: { readonly brokers: Readonly<Record<string, Broker>> }
  }
  export default Cluster
}

declare module 'kafkajs/src/protocol/encoder.js' {
  class Encoder {
    constructor(size?: number)
    buf: Buffer
    offset: number
  }
  export default Encoder
}

declare module 'kafkajs/src/network/requestQueue/index.js' {
  class RequestQueue {
    pending: unknown[]
    throttledUntil: number
    scheduleCheckPendingRequests(): void
  }
  export default RequestQueue
}
