import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.WindowStore;

/** What is benched. The topics are keyed by user already, so nothing but `paid` needs a repartition. */
final class Works {
  private static final Serde<Order> ORDERS =
      Serdes.serdeFrom(
          (topic, order) -> {
            throw new UnsupportedOperationException("orders are only read");
          },
          (topic, json) -> Order.parse(json));
  private static final Duration WINDOW = Duration.ofSeconds(10);
  /**
   * The store in memory drops a window when the next one begins, unless told to keep it for longer, and it is put out just behind
   * that: nothing would come out.
   */
  private static final Duration WINDOW_KEPT = WINDOW.multipliedBy(2);

  /** Sums are written as their decimal digits, as the others do. */
  private static final Serde<Long> DIGITS =
      Serdes.serdeFrom((topic, sum) -> Long.toString(sum).getBytes(UTF_8), (topic, text) -> Long.parseLong(new String(text, UTF_8)));

  private static final Pattern PAID =
      Pattern.compile("\"user\":\"([^\"]+)\",\"amountMinor\":(\\d+),\"status\":\"PAID\"");

  static void add(String work, StreamsBuilder builder, String input, String output) {
    switch (work) {
      case "paid" -> paid(builder, input, output);
      case "sum" -> sum(orders(builder, input), output);
      case "filter" -> filter(orders(builder, input), output);
      case "window" -> window(builder, input, output);
      default -> throw new IllegalArgumentException("no work " + work);
    }
  }

  private static KStream<String, Order> orders(StreamsBuilder builder, String input) {
    return builder.stream(input, Consumed.with(Serdes.String(), ORDERS));
  }

  private static void sum(KStream<String, Order> orders, String output) {
    orders
        .groupByKey(Grouped.with(Serdes.String(), ORDERS))
        .aggregate(
            () -> 0L,
            (user, order, sum) -> sum + order.amountMinor,
            Materialized.with(Serdes.String(), Serdes.Long()))
        .toStream()
        .to(output, Produced.with(Serdes.String(), DIGITS));
  }

  private static void filter(KStream<String, Order> orders, String output) {
    orders
        .filter((user, order) -> order.isWanted())
        .mapValues(Order::mapped)
        .to(output, Produced.with(Serdes.String(), Serdes.String()));
  }

  private static void window(StreamsBuilder builder, String input, String output) {
    builder.stream(
            input,
            Consumed.with(Serdes.String(), ORDERS)
                .withTimestampExtractor((order, partitionTime) -> ((Order) order.value()).time()))
        .groupByKey(Grouped.with(Serdes.String(), ORDERS))
        .windowedBy(TimeWindows.ofSizeWithNoGrace(WINDOW))
        .emitStrategy(EmitStrategy.onWindowClose())
        .aggregate(
            () -> 0L,
            (user, order, count) -> count + 1,
            Materialized.<String, Long, WindowStore<Bytes, byte[]>>with(Serdes.String(), Serdes.Long())
                .withRetention(WINDOW_KEPT))
        .toStream()
        .map((window, count) -> KeyValue.pair(window.key(), "{\"start\":" + window.window().start() + ",\"value\":" + count + "}"))
        .to(output, Produced.with(Serdes.String(), Serdes.String()));
  }

  /** Of the accidents: a running sum and count of the paid ones, by a key that must be computed. */
  private static void paid(StreamsBuilder builder, String input, String output) {
    builder.stream(input, Consumed.with(Serdes.String(), Serdes.String()))
        .flatMap(
            (key, json) -> {
              Matcher order = PAID.matcher(json);
              return order.find()
                  ? List.of(KeyValue.pair(order.group(1), order.group(2)))
                  : List.<KeyValue<String, String>>of();
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
        .to(output, Produced.with(Serdes.String(), Serdes.String()));
  }
}
