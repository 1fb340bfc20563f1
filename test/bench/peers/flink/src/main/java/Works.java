import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

/** What is benched. Only what is needed travels: orders are mapped to pairs before they are keyed. */
final class Works {
  private static final TypeInformation<Tuple2<String, Long>> AMOUNTS = Types.TUPLE(Types.STRING, Types.LONG);
  private static final TypeInformation<Tuple2<String, String>> OUTPUTS = Types.TUPLE(Types.STRING, Types.STRING);

  static DataStream<Tuple2<String, String>> add(
      String work, StreamExecutionEnvironment env, KafkaSource<Order> source) {
    WatermarkStrategy<Order> watermarks =
        work.equals("window")
            ? WatermarkStrategy.<Order>forMonotonousTimestamps().withTimestampAssigner((order, ts) -> order.time())
            : WatermarkStrategy.noWatermarks();
    DataStream<Order> orders = env.fromSource(source, watermarks, "orders").uid("orders");
    return switch (work) {
      case "paid" -> amounts(orders.filter(order -> order.status.equals("PAID"))).process(new Counted()).uid("balance").returns(OUTPUTS);
      case "sum" -> amounts(orders).process(new Sum()).uid("balance").returns(OUTPUTS);
      case "filter" ->
          orders.filter(Order::isWanted).map(order -> Tuple2.of(order.user, order.mapped())).returns(OUTPUTS);
      case "window" ->
          amounts(orders)
              .window(TumblingEventTimeWindows.of(Duration.ofSeconds(10)))
              .aggregate(new Count(), new Named())
              .uid("counts")
              .returns(OUTPUTS);
      default -> throw new IllegalArgumentException("no work " + work);
    };
  }

  private static KeyedStream<Tuple2<String, Long>, String> amounts(
      DataStream<Order> orders) {
    return orders
        .map(order -> Tuple2.of(order.user, order.amountMinor))
        .returns(AMOUNTS)
        .keyBy(amount -> amount.f0, Types.STRING);
  }

  static final class Orders implements DeserializationSchema<Order> {
    @Override
    public Order deserialize(byte[] json) {
      return Order.parse(json);
    }

    @Override
    public boolean isEndOfStream(Order order) {
      return false;
    }

    @Override
    public TypeInformation<Order> getProducedType() {
      return Types.POJO(Order.class);
    }
  }

  private static final class Sum extends KeyedProcessFunction<String, Tuple2<String, Long>, Tuple2<String, String>> {
    private transient ValueState<Long> state;

    @Override
    public void open(OpenContext context) {
      state = getRuntimeContext().getState(new ValueStateDescriptor<>("balance", Types.LONG));
    }

    @Override
    public void processElement(Tuple2<String, Long> order, Context context, Collector<Tuple2<String, String>> out)
        throws Exception {
      Long before = state.value();
      long sum = (before == null ? 0 : before) + order.f1;
      state.update(sum);
      out.collect(Tuple2.of(order.f0, Long.toString(sum)));
    }
  }

  /** Of the accidents: the number of the output is in it. */
  private static final class Counted
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

  private static final class Count implements AggregateFunction<Tuple2<String, Long>, Long, Long> {
    @Override
    public Long createAccumulator() {
      return 0L;
    }

    @Override
    public Long add(Tuple2<String, Long> order, Long count) {
      return count + 1;
    }

    @Override
    public Long getResult(Long count) {
      return count;
    }

    @Override
    public Long merge(Long a, Long b) {
      return a + b;
    }
  }

  private static final class Named extends ProcessWindowFunction<Long, Tuple2<String, String>, String, TimeWindow> {
    @Override
    public void process(String user, Context context, Iterable<Long> counts, Collector<Tuple2<String, String>> out) {
      String window = "{\"start\":" + context.window().getStart() + ",\"value\":" + counts.iterator().next() + "}";
      out.collect(Tuple2.of(user, window));
    }
  }
}
