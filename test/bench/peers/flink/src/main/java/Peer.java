import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExternalizedCheckpointRetention;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.configuration.StateRecoveryOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.KafkaSinkBuilder;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * A work on Flink, exactly once, on a cluster inside this process. Options: work (paid, sum, filter, window), brokers, input,
 * output, id (prefix of the transactional ids), transactionTimeoutMs, intervalMs (checkpoints), folder (of the checkpoints),
 * restore (a checkpoint, or empty), store (memory, rocksdb: with incremental checkpoints), tuned.
 */
public final class Peer {
  /** As advised for throughput: fewer, larger requests. */
  private static final int TUNED_BATCH_BYTES = 256 * 1024;

  public static void main(String[] args) throws Exception {
    Options options = new Options(args);
    Configuration configuration = new Configuration();
    configuration.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
    configuration.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, "file://" + options.text("folder"));
    configuration.set(
        CheckpointingOptions.EXTERNALIZED_CHECKPOINT_RETENTION, ExternalizedCheckpointRetention.RETAIN_ON_CANCELLATION);
    if (options.text("store").equals("rocksdb")) {
      configuration.set(StateBackendOptions.STATE_BACKEND, "rocksdb");
      configuration.set(CheckpointingOptions.INCREMENTAL_CHECKPOINTS, true);
    }
    String restore = options.text("restore");
    if (!restore.isEmpty()) configuration.set(StateRecoveryOptions.SAVEPOINT_PATH, restore);
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(configuration);
    env.setParallelism(2);
    env.enableCheckpointing(options.number("intervalMs"));
    if (options.is("tuned")) env.getConfig().enableObjectReuse();

    Works.add(options.text("work"), env, source(options)).sinkTo(sink(options)).uid("sums");
    env.execute("peer");
  }

  private static KafkaSource<Order> source(Options options) {
    return KafkaSource.<Order>builder()
        .setBootstrapServers(options.text("brokers"))
        .setTopics(options.text("input"))
        .setGroupId(options.text("id"))
        .setStartingOffsets(OffsetsInitializer.earliest())
        .setValueOnlyDeserializer(new Works.Orders())
        .setProperty("isolation.level", "read_committed")
        .build();
  }

  private static KafkaSink<Tuple2<String, String>> sink(Options options) {
    KafkaSinkBuilder<Tuple2<String, String>> builder =
        KafkaSink.<Tuple2<String, String>>builder()
            .setBootstrapServers(options.text("brokers"))
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
            .setTransactionalIdPrefix(options.text("id"))
            .setProperty("transaction.timeout.ms", options.text("transactionTimeoutMs"))
            .setRecordSerializer(
                KafkaRecordSerializationSchema.<Tuple2<String, String>>builder()
                    .setTopic(options.text("output"))
                    .setKeySerializationSchema(new Key())
                    .setValueSerializationSchema(new Value())
                    .build());
    if (options.is("tuned")) builder.setProperty("batch.size", String.valueOf(TUNED_BATCH_BYTES));
    return builder.build();
  }

  // Classes: Flink cannot tell the types of lambdas.
  private static final class Key implements SerializationSchema<Tuple2<String, String>> {
    @Override
    public byte[] serialize(Tuple2<String, String> record) {
      return record.f0.getBytes(StandardCharsets.UTF_8);
    }
  }

  private static final class Value implements SerializationSchema<Tuple2<String, String>> {
    @Override
    public byte[] serialize(Tuple2<String, String> record) {
      return record.f1.getBytes(StandardCharsets.UTF_8);
    }
  }
}
