import java.util.HashMap;
import java.util.Map;

/** Arguments of the form name=value; values may be empty. */
public final class Options {
  private final Map<String, String> values = new HashMap<>();

  public Options(String[] args) {
    for (String arg : args) {
      int at = arg.indexOf('=');
      if (at < 1) throw new IllegalArgumentException(arg + ": give name=value");
      values.put(arg.substring(0, at), arg.substring(at + 1));
    }
  }

  public String text(String name) {
    String value = values.get(name);
    if (value == null) throw new IllegalArgumentException(name + "=… is missing");
    return value;
  }

  public long number(String name) {
    return Long.parseLong(text(name));
  }

  public boolean is(String name) {
    return Boolean.parseBoolean(text(name));
  }
}
