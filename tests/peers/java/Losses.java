import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.nd4j.autodiff.loss.LossReduce;
import org.nd4j.autodiff.samediff.SDVariable;
import org.nd4j.autodiff.samediff.SameDiff;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * The sigmoid loss of ND4J.
 *
 * <p>A line of standard input is LOSS, ROWS, LOGITS and TARGETS, separated by tabs: the name of a
 * loss, the first dimension, and numbers that are separated by spaces. Each line is answered by
 * one: the loss and its gradient by each logit, separated by spaces.
 */
public class Losses {
  private static final float[][] WEIGHTS = {{0.5f}, {2}, {0}, {1.5f}};

  public static void main(String[] args) throws Exception {
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] parts = line.split("\t");
      int rows = Integer.parseInt(parts[1]);
      System.out.println(run(parts[0], matrix(parts[2], rows), matrix(parts[3], rows)));
    }
  }

  private static String run(String name, INDArray logits, INDArray targets) {
    SameDiff graph = SameDiff.create();
    SDVariable x = graph.var("x", logits);
    SDVariable t = graph.constant("t", targets);
    SDVariable weights = name.equals("plain") || name.equals("smoothing")
        ? null
        : graph.constant("w", Nd4j.create(WEIGHTS));
    double smoothing = name.equals("smoothing") ? 0.1 : 0;
    SDVariable loss =
        graph.loss().sigmoidCrossEntropy("loss", t, x, weights, reduction(name), smoothing);
    loss.markAsLoss();
    INDArray gradient = graph.calculateGradients(Map.of(), "x").get("x");
    StringBuilder words = new StringBuilder().append(loss.eval().getFloat(0));
    for (float number : gradient.dup('c').data().asFloat()) {
      words.append(' ').append(number);
    }
    return words.toString();
  }

  private static LossReduce reduction(String name) {
    switch (name) {
      case "mean":
        return LossReduce.MEAN_BY_WEIGHT;
      case "sum":
        return LossReduce.SUM;
      default:
        return LossReduce.MEAN_BY_NONZERO_WEIGHT_COUNT;
    }
  }

  private static INDArray matrix(String text, int rows) {
    String[] words = text.split(" ");
    float[] found = new float[words.length];
    for (int i = 0; i < words.length; i++) {
      found[i] = Float.parseFloat(words[i]);
    }
    return Nd4j.create(found).reshape(rows, words.length / rows);
  }
}
