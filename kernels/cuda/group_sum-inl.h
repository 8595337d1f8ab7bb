// The sum of a block's lanes, across the threads that hold them. A body like
// fast-inl.h.

// Adds lanes as SumLanes() does, as a binary tree of distance 64, 32, ..., 1.
// Thread `rank` has lanes kLanes * rank ... of the block; `exchange(value,
// distance)` gives the `value` of thread rank ^ distance. Each of the first
// steps halves what a thread has to add: of two threads one keeps the lower
// half of the lanes, the other the upper, and they exchange the rest. (It is
// not minded which of two terms comes first.) Every thread gets the sum.
template <int kLanes, class Exchange>
LOSSD_ELEMENT_FN double SumOverGroup(int rank, double (&lanes)[kLanes],
                                     Exchange exchange) {
  constexpr int kThreads = static_cast<int>(kBlockLanes) / kLanes;
  int distance = kThreads / 2;
  LOSSD_UNROLL for (int kept = kLanes / 2; kept > 0; kept /= 2) {
    const bool upper = (rank & distance) != 0;
    LOSSD_UNROLL for (int k = 0; k < kept; ++k) {
      const double mine = upper ? lanes[kept + k] : lanes[k];
      const double other = upper ? lanes[k] : lanes[kept + k];
      lanes[k] = mine + exchange(other, distance);
    }
    distance /= 2;
  }
  double sum = lanes[0];
  LOSSD_UNROLL for (; distance > 0; distance /= 2) {
    sum += exchange(sum, distance);
  }
  // The lanes that a thread had at first: distances below kLanes.
  LOSSD_UNROLL for (int k = 1; k < kLanes; k *= 2) {
    sum += exchange(sum, kThreads / 2 / k);
  }
  return sum;
}
