import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import org.bytedeco.javacpp.caffe;
import org.bytedeco.javacpp.caffe.FloatNet;

/**
 * Runs nets of Caffe 1.0 forward and backward.
 *
 * <p>A line of standard input is PROTOTXT, SCORES and LABELS, separated by tabs: the path of a net
 * with the blobs "score", "label" and "loss", and the numbers of the first two, separated by spaces.
 * Each line is answered by one: the blob "loss", the loss of the net and the diff of "score",
 * separated by spaces. An error of Caffe's ends the process with a signal and a line on standard
 * error.
 */
public class RunNets {
  public static void main(String[] args) throws Exception {
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] parts = line.split("\t");
      System.out.println(run(parts[0], numbers(parts[1]), numbers(parts[2])));
    }
  }

  private static String run(String prototxt, float[] scores, float[] labels) {
    FloatNet net = new FloatNet(prototxt, caffe.TRAIN);
    net.blob_by_name("score").mutable_cpu_data().put(scores);
    net.blob_by_name("label").mutable_cpu_data().put(labels);
    float total = net.ForwardBackward();
    float[] diff = new float[scores.length];
    net.blob_by_name("score").cpu_diff().get(diff);
    float[] loss = new float[1];
    net.blob_by_name("loss").cpu_data().get(loss);
    StringBuilder words = new StringBuilder(loss[0] + " " + total);
    for (float number : diff) {
      words.append(' ').append(number);
    }
    return words.toString();
  }

  private static float[] numbers(String text) {
    String[] words = text.split(" ");
    float[] found = new float[words.length];
    for (int i = 0; i < words.length; i++) {
      found[i] = Float.parseFloat(words[i]);
    }
    return found;
  }
}
