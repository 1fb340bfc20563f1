import java.util.Properties;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * Paid orders per user as a running sum, exactly once. Arguments: brokers, input topic, output topic, application id,
 * transaction timeout ms, commit interval ms, state folder.
 */
public final class Peer {
  private static final Pattern ORDER =
      Pattern.compile("\"user\":\"([^\"]+)\",\"amountMinor\":(\\d+),\"status\":\"PAID\"");

  public static void main(String[] args) {
    Properties properties = new Properties();
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, args[3]);
    properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, args[5]);
    properties.put(StreamsConfig.STATE_DIR_CONFIG, args[6]);
    properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    // Every update is an output, as in the other two.
    properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
    properties.put(StreamsConfig.producerPrefix(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG), args[4]);
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    // Else the group waits 45 s for its dead members.
    properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 6_000);

    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(args[1], Consumed.with(Serdes.String(), Serdes.String()))
        .flatMap(
            (key, json) -> {
              Matcher order = ORDER.matcher(json);
              return order.find()
                  ? java.util.List.of(KeyValue.pair(order.group(1), order.group(2)))
                  : java.util.List.<KeyValue<String, String>>of();
            })
        .groupByKey(Grouped.with(Serdes.String(), Serdes.String()))
        .aggregate(
            () -> "0 0",
            (user, amount, total) -> {
              String[] before = total.split(" ");
              return (Long.parseLong(before[0]) + Long.parseLong(amount)) + " " + (Long.parseLong(before[1]) + 1);
            },
            Materialized.with(Serdes.String(), Serdes.String()))
        .toStream()
        .mapValues(
            total -> {
              String[] now = total.split(" ");
              return "{\"sum\":" + now[0] + ",\"count\":" + now[1] + "}";
            })
        .to(args[2], Produced.with(Serdes.String(), Serdes.String()));

    KafkaStreams streams = new KafkaStreams(builder.build(), properties);
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }
}
