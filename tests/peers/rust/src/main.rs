//! The sigmoid losses of candle and burn.
//!
//! A line of standard input is LOSS, ROWS, LOGITS and TARGETS, separated by tabs: the name of a
//! loss, the first dimension, and numbers that are separated by spaces. Each line is answered by
//! one: the loss and its gradient by each logit, separated by spaces.

use std::io::BufRead;

use burn::nn::loss::BinaryCrossEntropyLossConfig;
use burn::tensor::{Device, Int, Tensor, TensorData};
use candle_core::Var;

fn main() {
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line of text");
        let parts: Vec<&str> = line.split('\t').collect();
        let rows: usize = parts[1].parse().expect("a number of rows");
        let (logits, targets) = (numbers(parts[2]), numbers(parts[3]));
        let config = BinaryCrossEntropyLossConfig::new().with_logits(true);
        let found = match parts[0] {
            "candle" => candle(&logits, &targets, rows),
            "burn" => burn(config, &logits, &targets, rows),
            "burn_smoothing" => burn(config.with_smoothing(Some(0.1)), &logits, &targets, rows),
            "burn_weights" => {
                let weights = Some(vec![1.0, 0.5, 3.0]);
                burn(config.with_weights(weights), &logits, &targets, rows)
            }
            other => panic!("{other}: no such loss"),
        };
        let words: Vec<String> = found.iter().map(f32::to_string).collect();
        println!("{}", words.join(" "));
    }
}

fn numbers(text: &str) -> Vec<f32> {
    text.split(' ').map(|word| word.parse().expect("a number")).collect()
}

fn candle(logits: &[f32], targets: &[f32], rows: usize) -> Vec<f32> {
    let answer = || -> candle_core::Result<Vec<f32>> {
        let (device, shape) = (candle_core::Device::Cpu, (rows, logits.len() / rows));
        let x = Var::from_slice(logits, shape, &device)?;
        let t = candle_core::Tensor::from_slice(targets, shape, &device)?;
        let loss = candle_nn::loss::binary_cross_entropy_with_logit(x.as_tensor(), &t)?;
        let gradients = loss.backward()?;
        let gradient = gradients.get(x.as_tensor()).expect("the gradient by the logits");
        let mut found = vec![loss.to_scalar::<f32>()?];
        found.extend(gradient.flatten_all()?.to_vec1::<f32>()?);
        Ok(found)
    };
    answer().expect("candle computes the loss")
}

fn burn(
    config: BinaryCrossEntropyLossConfig,
    logits: &[f32],
    targets: &[f32],
    rows: usize,
) -> Vec<f32> {
    let device = Device::flex().autodiff();
    let shape = [rows, logits.len() / rows];
    let x = Tensor::<2>::from_data(TensorData::new(logits.to_vec(), shape), &device).require_grad();
    let whole: Vec<i32> = targets.iter().map(|&target| target as i32).collect();
    let t = Tensor::<2, Int>::from_data(TensorData::new(whole, shape), &device);
    let loss = config.init(&device).forward(x.clone(), t);
    let gradient = x.grad(&loss.backward()).expect("the gradient by the logits");
    let mut found = loss.into_data().try_to_vec::<f32>().expect("a loss of float32");
    found.extend(gradient.into_data().try_to_vec::<f32>().expect("a gradient of float32"));
    found
}
