import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.UncheckedIOException;

/** One order as the benches feed it, about 170 bytes of JSON. */
public final class Order {
  private static final ObjectReader READER =
      new ObjectMapper().readerFor(Order.class).without(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);

  public long id;
  public String user;
  public long amountMinor;
  public String status;
  public String note;

  public static Order parse(byte[] json) {
    try {
      return READER.readValue(json);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** About every second one. */
  public boolean isWanted() {
    return status.equals("PAID") && amountMinor % 2 == 0;
  }

  /** Event time in ms: every user has ten orders in a window of 10 s. */
  public long time() {
    return id / 10;
  }

  /** What becomes of a wanted one. */
  public String mapped() {
    return "{\"id\":" + id + ",\"user\":\"" + user + "\",\"amountMinor\":" + amountMinor * 2 + "}";
  }
}
