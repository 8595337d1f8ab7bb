package lossd.sample;

import com.google.protobuf.ByteString;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;
import java.util.List;
import java.util.concurrent.TimeUnit;
import lossd.v1.ComputeLossRequest;
import lossd.v1.ComputeLossResponse;
import lossd.v1.DataType;
import lossd.v1.LossServiceGrpc;
import lossd.v1.Tensor;

/**
 * Tries a server with gRPC as Java has it, and prints what came back, a name=value a line:
 * HOST:PORT FULL_HOST:PORT, the addresses of a server and of one that refuses requests
 */
public final class Smoke {
  private static final int ROWS = 1024;
  private static final int COLUMNS = 1024;
  private static final Metadata.Key<String> PUSHBACK =
      Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

  public static void main(String[] arguments) throws Exception {
    ManagedChannel small = connect(arguments[0], 4 << 20); // the default
    ManagedChannel large = connect(arguments[0], 64 << 20);
    ManagedChannel full = connect(arguments[1], 4 << 20);
    try {
      System.out.println(
          "code_at_default_limit=" + failure(small, request()).getStatus().getCode());
      ComputeLossResponse response = call(large, request());
      ByteString gradient = response.getGradient().getData();
      System.out.println("loss=" + response.getLoss());
      System.out.println("gradient_sha256=" + sha256(gradient));
      // A ByteBuffer is big-endian unless it is told otherwise.
      ByteBuffer floats = gradient.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
      System.out.println("gradient_1=" + (double) floats.getFloat(4));

      StatusRuntimeException bad = failure(large, numbers(List.of(0.0, 0.0), List.of(1.0, 3.0)));
      System.out.println("bad_code=" + bad.getStatus().getCode());
      System.out.println("bad_message=" + bad.getStatus().getDescription());

      StatusRuntimeException held = failure(full, numbers(List.of(0.0), List.of(1.0)));
      System.out.println("full_code=" + held.getStatus().getCode());
      System.out.println("full_pushback_ms=" + held.getTrailers().get(PUSHBACK));
    } finally {
      List.of(small, large, full).forEach(ManagedChannel::shutdownNow);
    }
  }

  private static ManagedChannel connect(String target, int largestReply) {
    return NettyChannelBuilder.forTarget(target)
        .usePlaintext()
        .maxInboundMessageSize(largestReply)
        .build();
  }

  private static ComputeLossResponse call(ManagedChannel channel, ComputeLossRequest request) {
    return LossServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(60, TimeUnit.SECONDS)
        .computeLoss(request);
  }

  private static StatusRuntimeException failure(
      ManagedChannel channel, ComputeLossRequest request) {
    try {
      call(channel, request);
    } catch (StatusRuntimeException error) {
      return error;
    }
    throw new IllegalStateException("the call did not fail");
  }

  /** Returns a mean over 1 Mi logits with one bit for each target. */
  private static ComputeLossRequest request() {
    int elements = ROWS * COLUMNS;
    ByteBuffer logits = ByteBuffer.allocate(4 * elements).order(ByteOrder.LITTLE_ENDIAN);
    byte[] bits = new byte[elements / 8];
    for (int i = 0; i < elements; ++i) {
      logits.putFloat((i * 37 % 257 - 128) / 16f);
      if (i % 3 == 0) {
        bits[i / 8] |= (byte) (1 << i % 8); // the least significant bit is the first
      }
    }
    logits.flip();
    return ComputeLossRequest.newBuilder()
        .setLogits(packed(DataType.DATA_TYPE_FLOAT32, ByteString.copyFrom(logits)))
        .setTargets(packed(DataType.DATA_TYPE_BIT, ByteString.copyFrom(bits)))
        .build();
  }

  private static Tensor packed(DataType type, ByteString data) {
    return Tensor.newBuilder()
        .setDtype(type)
        .addShape(ROWS)
        .addShape(COLUMNS)
        .setData(data)
        .build();
  }

  private static ComputeLossRequest numbers(List<Double> logits, List<Double> targets) {
    return ComputeLossRequest.newBuilder()
        .setLogits(Tensor.newBuilder().addAllValues(logits))
        .setTargets(Tensor.newBuilder().addAllValues(targets))
        .build();
  }

  private static String sha256(ByteString bytes) throws Exception {
    StringBuilder text = new StringBuilder();
    for (byte part : MessageDigest.getInstance("SHA-256").digest(bytes.toByteArray())) {
      text.append(String.format("%02x", part));
    }
    return text.toString();
  }
}
