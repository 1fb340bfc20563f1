// tikv-client-java behind the line protocol of clients.ts.
import org.tikv.shade.com.google.protobuf.ByteString;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.tikv.common.TiConfiguration;
import org.tikv.common.TiSession;
import org.tikv.common.exception.RawCASConflictException;
import org.tikv.kvproto.Kvrpcpb;
import org.tikv.raw.RawKVClient;

public class TikvClientJava {
  public static void main(String[] args) throws Exception {
    PrintStream out = System.out;
    // The library's own words must not come between the answers.
    System.setOut(System.err);
    TiConfiguration configuration = TiConfiguration.createRawDefault(args[0]);
    configuration.setEnableAtomicForCAS(true);
    if (args[1].equals("2")) configuration.setApiVersion(TiConfiguration.ApiVersion.V2);
    TiSession session = TiSession.create(configuration);
    RawKVClient client = session.createRawClient();
    out.println("ready");
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      try {
        out.println("ok\t" + run(client, line.split("\t")));
      } catch (Exception e) {
        out.println("error\t" + String.valueOf(e).replace('\n', ' '));
      }
    }
    System.exit(0);
  }

  static ByteString bytes(String text) {
    return ByteString.copyFromUtf8(text);
  }

  static String shown(Optional<ByteString> value) {
    return value.map(bytes -> "=" + bytes.toStringUtf8()).orElse("-");
  }

  static String run(RawKVClient client, String[] words) {
    ByteString key = bytes(words[1]);
    switch (words[0]) {
      case "get":
        return shown(client.get(key));
      case "batchGet": {
        List<ByteString> keys = Arrays.stream(words).skip(1).map(TikvClientJava::bytes).collect(Collectors.toList());
        Map<ByteString, ByteString> found = new HashMap<>();
        for (Kvrpcpb.KvPair pair : client.batchGet(keys)) found.put(pair.getKey(), pair.getValue());
        return keys.stream().map(each -> shown(Optional.ofNullable(found.get(each)))).collect(Collectors.joining("\t"));
      }
      case "put":
        client.put(key, bytes(words[2]), Long.parseLong(words[3]));
        return "";
      case "delete":
        client.delete(key);
        return "";
      case "ttl":
        return client.getKeyTTL(key).map(String::valueOf).orElse("-");
      case "cas": {
        Optional<ByteString> previous = words[2].equals("-") ? Optional.empty() : Optional.of(bytes(words[2].substring(1)));
        try {
          client.compareAndSet(key, previous, bytes(words[3]), Long.parseLong(words[4]));
          return "true\t" + shown(previous);
        } catch (RawCASConflictException e) {
          return "false\t" + shown(e.getPrevValue());
        }
      }
      default:
        throw new IllegalArgumentException("unknown command " + words[0]);
    }
  }
}
