// The fast loop computes a part of each element ahead of the rest, and this
// file says which. It is a body without an include guard, included before
// fast-inl.h in the same namespace.

// Vectors that are kept from one step of the loop to a later one: kCount of
// them for each step. Element `i` of a block is the first of a step.
template <class Ops, int kCount>
struct KeptVectors {
  alignas(64) typename Ops::T values[kCount][kBlockLanes];
  LOSSD_ELEMENT_FN void Put(int k, uint64_t i, typename Ops::V v) {
    Ops::Store(v, values[k] + i % kBlockLanes);
  }
  LOSSD_ELEMENT_FN typename Ops::V Get(int k, uint64_t i) const {
    return Ops::Load(values[k] + i % kBlockLanes);
  }
};

// The part of an element's work that depends on the logit alone. The loop
// computes it Ops::kStepsAhead steps before the rest, so that a vector is not
// one long chain of operations (D86). For the losses with powers it is the
// softplus; unscaled_z is left out, which only second derivatives need.
template <class Ops, class Loss>
struct EarlyPart {
  using Part = SoftplusResult<Ops>;
  using Kept = KeptVectors<Ops, 6>;
  LOSSD_ELEMENT_FN static Part Of(typename Ops::V x) {
    return SoftplusOf<Ops>(Ops::Abs(x));
  }
  LOSSD_ELEMENT_FN static void Keep(const Part& s, uint64_t i, Kept& kept) {
    kept.Put(0, i, s.plus.high);
    kept.Put(1, i, s.plus.low);
    kept.Put(2, i, s.minus.high);
    kept.Put(3, i, s.minus.low);
    kept.Put(4, i, s.z.high);
    kept.Put(5, i, s.z.low);
  }
  LOSSD_ELEMENT_FN static Part Recall(const Kept& kept, uint64_t i) {
    const typename Ops::V zero = Ops::Set(0);
    return {{kept.Get(0, i), kept.Get(1, i)},
            {kept.Get(2, i), kept.Get(3, i)},
            {kept.Get(4, i), kept.Get(5, i)},
            {{zero, zero}, zero}};
  }
};

// For the cross-entropy it is e^-|x|.
template <class Ops>
struct EarlyPart<Ops, CrossEntropyLoss<Ops>> {
  using Part = ExpResult<Ops>;
  using Kept = KeptVectors<Ops, 2>;
  LOSSD_ELEMENT_FN static Part Of(typename Ops::V x) {
    return ExpOfMinusAbs<Ops>(x);
  }
  LOSSD_ELEMENT_FN static void Keep(const Part& z, uint64_t i, Kept& kept) {
    kept.Put(0, i, z.high);
    kept.Put(1, i, z.low);
  }
  LOSSD_ELEMENT_FN static Part Recall(const Kept& kept, uint64_t i) {
    return {kept.Get(0, i), kept.Get(1, i)};
  }
};
