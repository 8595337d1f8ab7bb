import com.google.common.io.ByteStreams;
import com.google.gson.Gson;
import io.grpc.CallOptions;
import io.grpc.EquivalentAddressGroup;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import io.grpc.StatusRuntimeException;
import io.grpc.internal.GrpcUtil;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCalls;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** Calls or watches lossd with grpc-java; ../README.md says how it is used. */
public final class Client {
  private static final int WORKERS = 8;
  private static final long DEADLINE_SECONDS = 30;
  private static final long PING_SECONDS = 10;
  private static final MethodDescriptor<byte[], byte[]> COMPUTE =
      method(MethodType.UNARY, "lossd.v1.LossService/ComputeLoss");
  private static final MethodDescriptor<byte[], byte[]> WATCH =
      method(MethodType.SERVER_STREAMING, "grpc.health.v1.Health/Watch");

  private volatile boolean inputEnded;
  // The lock of this object guards all that follows.
  private int sent;
  private int calls;
  private int wrong;
  private int messages;
  private String ended = "";
  private final Map<String, Integer> codes = new TreeMap<>();
  private final Map<String, String> texts = new TreeMap<>();

  public static void main(String[] arguments) throws Exception {
    Client client = new Client();
    if (arguments[0].equals("load")) {
      client.load(arguments[1], arguments[2], arguments[3]);
    } else {
      client.watch(arguments[1]);
    }
    System.out.println(client.report());
    System.exit(0);
  }

  private void load(String addresses, String config, String folder) throws Exception {
    List<Sample> samples = Sample.in(Path.of(folder));
    ManagedChannel channel =
        channel(addresses)
            .defaultServiceConfig(new Gson().<Map<String, ?>>fromJson(
                Files.readString(Path.of(config)), Map.class))
            .build();
    ExecutorService workers = Executors.newFixedThreadPool(WORKERS);
    for (int i = 0; i < WORKERS; i++) {
      workers.execute(() -> {
        while (!inputEnded) {
          call(channel, samples.get(ThreadLocalRandom.current().nextInt(samples.size())));
        }
      });
    }
    waitForInputEnd();
    workers.shutdown();
    workers.awaitTermination(2 * DEADLINE_SECONDS, TimeUnit.SECONDS);
  }

  private void call(ManagedChannel channel, Sample sample) {
    synchronized (this) {
      sent++;
    }
    CallOptions options =
        CallOptions.DEFAULT.withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS);
    try {
      byte[] reply = ClientCalls.blockingUnaryCall(channel, COMPUTE, options, sample.request());
      boolean right = sample.answeredBy(reply);
      synchronized (this) {
        calls++;
        wrong += right ? 0 : 1;
      }
    } catch (StatusRuntimeException error) {
      String code = error.getStatus().getCode().name();
      synchronized (this) {
        calls++;
        codes.merge(code, 1, Integer::sum);
        texts.put(code, error.getMessage());
      }
    }
  }

  private void watch(String address) throws IOException {
    ManagedChannel channel =
        channel(address)
            .keepAliveTime(PING_SECONDS, TimeUnit.SECONDS)
            .keepAliveTimeout(PING_SECONDS, TimeUnit.SECONDS)
            .build();
    Thread reader = new Thread(() -> {
      try {
        ClientCalls.blockingServerStreamingCall(
            channel, WATCH, CallOptions.DEFAULT, new byte[0]).forEachRemaining(reply -> {
              synchronized (this) {
                messages++;
              }
            });
      } catch (StatusRuntimeException error) {
        synchronized (this) {
          ended = error.getMessage();
        }
      }
    });
    reader.setDaemon(true);
    reader.start();
    waitForInputEnd();
  }

  private synchronized String report() {
    Map<String, Object> seen = new TreeMap<>();
    seen.put("version", GrpcUtil.getGrpcBuildVersion().getImplementationVersion());
    seen.put("sent", sent);
    seen.put("calls", calls);
    seen.put("codes", codes);
    seen.put("wrong", wrong);
    seen.put("texts", texts);
    seen.put("messages", messages);
    seen.put("ended", ended);
    return new Gson().toJson(seen);
  }

  private void waitForInputEnd() throws IOException {
    ByteStreams.exhaust(System.in);
    inputEnded = true;
  }

  private static NettyChannelBuilder channel(String addresses) {
    NameResolverRegistry.getDefaultRegistry().register(new FixedAddresses(addresses));
    return NettyChannelBuilder.forTarget("soak:///lossd", InsecureChannelCredentials.create());
  }

  private static MethodDescriptor<byte[], byte[]> method(MethodType type, String name) {
    return MethodDescriptor.newBuilder(new Bytes(), new Bytes())
        .setType(type)
        .setFullMethodName(name)
        .build();
  }

  /** A request, and how its reply must begin and end. */
  private record Sample(byte[] request, byte[] start, byte[] end) {
    boolean answeredBy(byte[] reply) {
      int rest = reply.length - end.length;
      return reply.length >= start.length + end.length
          && Arrays.equals(reply, 0, start.length, start, 0, start.length)
          && Arrays.equals(reply, rest, reply.length, end, 0, end.length);
    }

    static List<Sample> in(Path folder) throws IOException {
      List<Sample> samples = new ArrayList<>();
      try (DirectoryStream<Path> paths = Files.newDirectoryStream(folder, "*.request")) {
        for (Path path : paths) {
          samples.add(
              new Sample(part(path, ".request"), part(path, ".start"), part(path, ".end")));
        }
      }
      return samples;
    }

    private static byte[] part(Path request, String name) throws IOException {
      String file = request.getFileName().toString().replace(".request", name);
      return Files.readAllBytes(request.resolveSibling(file));
    }
  }

  /** Passes messages on as they are. */
  private static final class Bytes implements MethodDescriptor.Marshaller<byte[]> {
    @Override
    public InputStream stream(byte[] value) {
      return new ByteArrayInputStream(value);
    }

    @Override
    public byte[] parse(InputStream stream) {
      try {
        return stream.readAllBytes();
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }
  }

  /** Resolves every target to the given HOST:PORT addresses. */
  private static final class FixedAddresses extends NameResolverProvider {
    private final List<EquivalentAddressGroup> groups;

    FixedAddresses(String addresses) {
      groups = Arrays.stream(addresses.split(",")).map(FixedAddresses::group).toList();
    }

    private static EquivalentAddressGroup group(String address) {
      int colon = address.lastIndexOf(':');
      return new EquivalentAddressGroup(new InetSocketAddress(
          address.substring(0, colon), Integer.parseInt(address.substring(colon + 1))));
    }

    @Override
    public NameResolver newNameResolver(URI target, NameResolver.Args arguments) {
      return new NameResolver() {
        @Override
        public String getServiceAuthority() {
          return "lossd";
        }

        @Override
        public void start(Listener2 listener) {
          listener.onResult(ResolutionResult.newBuilder()
              .setAddressesOrError(io.grpc.StatusOr.fromValue(groups)).build());
        }

        @Override
        public void shutdown() {}
      };
    }

    @Override
    public String getDefaultScheme() {
      return "soak";
    }

    @Override
    public java.util.Collection<Class<? extends SocketAddress>> getProducedSocketAddressTypes() {
      return List.of(InetSocketAddress.class);
    }

    @Override
    protected boolean isAvailable() {
      return true;
    }

    @Override
    protected int priority() {
      return 5;
    }
  }
}
