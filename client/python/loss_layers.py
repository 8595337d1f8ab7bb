"""The layer of older prototxt files under the name that they have, computed by lossd.

The layer sums, as the one of that name did, unless param_str says otherwise.
"""

from lossd.caffe import RemoteSigmoidCrossEntropyLossLayer as CustomSigmoidCrossEntropyLossLayer

__all__ = ["CustomSigmoidCrossEntropyLossLayer"]
