package lossd.sample;

import com.google.gson.Gson;
import com.google.protobuf.ByteString;
import io.grpc.ManagedChannel;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import lossd.v1.ComputeLossRequest;
import lossd.v1.LossServiceGrpc;
import lossd.v1.Tensor;

/** Computes a loss of 2 MB of logits with gRPC's own retries: HOST:PORT service_config.json */
public final class Retry {
  private static final int ELEMENTS = 1 << 19;

  public static void main(String[] arguments) throws Exception {
    String json = Files.readString(Path.of(arguments[1]));
    Map<String, ?> config = new Gson().fromJson(json, Map.class);
    ManagedChannel channel =
        NettyChannelBuilder.forTarget(arguments[0])
            .usePlaintext()
            .defaultServiceConfig(config)
            .enableRetry()
            // gRPC keeps a request of at most 1 MiB for another attempt, and 16 MiB of all
            // requests of the channel, unless these say more.
            .perRpcBufferLimit(64L << 20)
            .retryBufferSize(256L << 20)
            .maxInboundMessageSize(64 << 20)
            .build();
    Tensor zeros =
        Tensor.newBuilder()
            .addShape(ELEMENTS)
            .setData(ByteString.copyFrom(new byte[4 * ELEMENTS]))
            .build();
    ComputeLossRequest request =
        ComputeLossRequest.newBuilder().setLogits(zeros).setTargets(zeros).build();
    try {
      System.out.println(
          LossServiceGrpc.newBlockingStub(channel)
              .withDeadlineAfter(30, TimeUnit.SECONDS)
              .computeLoss(request)
              .getLoss());
    } finally {
      channel.shutdownNow();
    }
  }
}
