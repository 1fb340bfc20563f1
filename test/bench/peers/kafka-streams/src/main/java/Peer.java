import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TopologyConfig;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;

/**
 * A work on Kafka Streams, exactly once. Options: work (paid, sum, filter, window), brokers, input, output, id (of the
 * application), transactionTimeoutMs, intervalMs (commits), sessionMs, folder (of the state), store (memory, rocksdb), tuned.
 */
public final class Peer {
  /** As advised for throughput: fewer, larger requests. */
  private static final int TUNED_BATCH_BYTES = 256 * 1024;

  public static void main(String[] args) {
    Options options = new Options(args);
    Properties properties = new Properties();
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.text("brokers"));
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, options.text("id"));
    properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, options.text("intervalMs"));
    properties.put(StreamsConfig.STATE_DIR_CONFIG, options.text("folder"));
    properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    // Every update is an output, as in the others.
    properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
    // Else what a window puts out waits for a clock, and the last ones for records that do not come.
    properties.put("__emit.interval.ms.kstreams.windowed.aggregation__", 0L);
    properties.put(
        StreamsConfig.producerPrefix(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG), options.text("transactionTimeoutMs"));
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), options.text("sessionMs"));
    if (options.is("tuned")) {
      properties.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), TUNED_BATCH_BYTES);
    }

    properties.put(
        StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG,
        options.text("store").equals("memory")
            ? BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class
            : BuiltInDslStoreSuppliers.RocksDBDslStoreSuppliers.class);
    StreamsBuilder builder = new StreamsBuilder(new TopologyConfig(new StreamsConfig(properties)));
    Works.add(options.text("work"), builder, options.text("input"), options.text("output"));
    KafkaStreams streams = new KafkaStreams(builder.build(), properties);
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }
}
