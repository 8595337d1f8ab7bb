// The sigmoid loss of TensorFlow.js.
//
// A line of standard input is LOSS, ROWS, LOGITS and TARGETS, separated by tabs: the name of a
// loss, the first dimension, and numbers that are separated by spaces. Each line is answered by
// one: the loss and its gradient by each logit, separated by spaces.
'use strict';

const tf = require('@tensorflow/tfjs');
const readline = require('node:readline');

const WEIGHTS = [[0.5], [2], [0], [1.5]];
const {Reduction} = tf;
// The arguments after labels and logits.
const ARGUMENTS = {
  plain: () => [],
  smoothing: () => [undefined, 0.1],
  nonzero: () => [tf.tensor2d(WEIGHTS)],
  mean: () => [tf.tensor2d(WEIGHTS), 0, Reduction.MEAN],
  sum: () => [tf.tensor2d(WEIGHTS), 0, Reduction.SUM],
};

function answer(line) {
  const [name, rows, logits, targets] = line.split('\t');
  const tensor = (text) => tf.tensor2d(text.split(' ').map(Number), [
    Number(rows), text.split(' ').length / Number(rows),
  ]);
  const labels = tensor(targets);
  const loss = (x) => tf.losses.sigmoidCrossEntropy(labels, x, ...ARGUMENTS[name]());
  const {value, grad} = tf.valueAndGrad(loss)(tensor(logits));
  console.log([...value.dataSync(), ...grad.dataSync()].join(' '));
}

async function main() {
  await tf.setBackend('cpu');
  for await (const line of readline.createInterface({input: process.stdin})) {
    answer(line);
  }
}

main();
