import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExternalizedCheckpointRetention;
import org.apache.flink.configuration.StateRecoveryOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Paid orders per user as a running sum, exactly once, on a cluster inside this process. Arguments: brokers, input topic,
 * output topic, transactional id prefix, transaction timeout ms, checkpoint interval ms, checkpoint folder, checkpoint to
 * restore or "".
 */
public final class Peer {
  private static final Pattern ORDER =
      Pattern.compile("\"user\":\"([^\"]+)\",\"amountMinor\":(\\d+),\"status\":\"PAID\"");

  public static void main(String[] args) throws Exception {
    String brokers = args[0], input = args[1], output = args[2], prefix = args[3];
    Configuration configuration = new Configuration();
    configuration.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
    configuration.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, "file://" + args[6]);
    configuration.set(
        CheckpointingOptions.EXTERNALIZED_CHECKPOINT_RETENTION, ExternalizedCheckpointRetention.RETAIN_ON_CANCELLATION);
    if (!args[7].isEmpty()) configuration.set(StateRecoveryOptions.SAVEPOINT_PATH, args[7]);
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(configuration);
    env.setParallelism(2);
    env.enableCheckpointing(Long.parseLong(args[5]));

    KafkaSource<String> source =
        KafkaSource.<String>builder()
            .setBootstrapServers(brokers)
            .setTopics(input)
            .setGroupId(prefix)
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setValueOnlyDeserializer(new SimpleStringSchema())
            .setProperty("isolation.level", "read_committed")
            .build();
    KafkaSink<Tuple2<String, String>> sink =
        KafkaSink.<Tuple2<String, String>>builder()
            .setBootstrapServers(brokers)
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
            .setTransactionalIdPrefix(prefix)
            .setProperty("transaction.timeout.ms", args[4])
            .setRecordSerializer(
                KafkaRecordSerializationSchema.<Tuple2<String, String>>builder()
                    .setTopic(output)
                    .setKeySerializationSchema(new Key())
                    .setValueSerializationSchema(new Value())
                    .build())
            .build();

    env.fromSource(source, WatermarkStrategy.noWatermarks(), "orders")
        .uid("orders")
        .map(Peer::parse)
        .returns(Types.TUPLE(Types.STRING, Types.LONG))
        .filter(order -> order.f1 >= 0)
        .keyBy(order -> order.f0)
        .process(new Balance())
        .uid("balance")
        .returns(Types.TUPLE(Types.STRING, Types.STRING))
        .sinkTo(sink)
        .uid("sums");
    env.execute("peer");
  }

  // Classes: Flink cannot tell the types of lambdas.
  private static final class Key implements SerializationSchema<Tuple2<String, String>> {
    @Override
    public byte[] serialize(Tuple2<String, String> sum) {
      return sum.f0.getBytes(UTF_8);
    }
  }

  private static final class Value implements SerializationSchema<Tuple2<String, String>> {
    @Override
    public byte[] serialize(Tuple2<String, String> sum) {
      return sum.f1.getBytes(UTF_8);
    }
  }

  /** Amount −1: not paid. */
  private static Tuple2<String, Long> parse(String json) {
    Matcher order = ORDER.matcher(json);
    return order.find() ? Tuple2.of(order.group(1), Long.parseLong(order.group(2))) : Tuple2.of("", -1L);
  }

  private static final class Balance
      extends KeyedProcessFunction<String, Tuple2<String, Long>, Tuple2<String, String>> {
    private transient ValueState<Tuple2<Long, Long>> state;

    @Override
    public void open(OpenContext context) {
      state =
          getRuntimeContext()
              .getState(new ValueStateDescriptor<>("balance", Types.TUPLE(Types.LONG, Types.LONG)));
    }

    @Override
    public void processElement(Tuple2<String, Long> order, Context context, Collector<Tuple2<String, String>> out)
        throws Exception {
      Tuple2<Long, Long> before = state.value();
      long sum = (before == null ? 0 : before.f0) + order.f1;
      long count = (before == null ? 0 : before.f1) + 1;
      state.update(Tuple2.of(sum, count));
      out.collect(Tuple2.of(order.f0, "{\"sum\":" + sum + ",\"count\":" + count + "}"));
    }
  }
}
