// Functions of one number. Included inside a namespace, after a simd_*.h.

// e^x for x <= 88: n = round(x / ln 2), a degree-6 polynomial for the rest (|r| <= 0.35, 1-2 ulp),
// and exactly 0 below -87, so that masked keys (-inf) weigh nothing.
static inline Simd::F exp(Simd::F x) {
  const Simd::F floor = Simd::set1(-87.0f);
  const Simd::F bounded = Simd::max(x, floor);
  const Simd::F n = Simd::round(Simd::mul(bounded, Simd::set1(1.44269504f)));
  Simd::F r = Simd::fma(n, Simd::set1(-0.693145752f), bounded);
  r = Simd::fma(n, Simd::set1(-1.42860677e-6f), r);
  Simd::F p = Simd::set1(1.0f / 720.0f);
  p = Simd::fma(p, r, Simd::set1(1.0f / 120.0f));
  p = Simd::fma(p, r, Simd::set1(1.0f / 24.0f));
  p = Simd::fma(p, r, Simd::set1(1.0f / 6.0f));
  p = Simd::fma(p, r, Simd::set1(0.5f));
  p = Simd::fma(p, r, Simd::set1(1.0f));
  p = Simd::fma(p, r, Simd::set1(1.0f));
  return Simd::keep_at_least(Simd::mul(p, Simd::exp2_whole(n)), x, floor);
}

// silu(gate) * up, with silu(g) = g / (1 + e^-g).
static inline Simd::F swiglu_of(Simd::F gate, Simd::F up) {
  const Simd::F negative = Simd::max(Simd::sub(Simd::zero(), gate), Simd::set1(-88.0f));
  const Simd::F denominator =
      Simd::add(Simd::set1(1.0f), exp(Simd::min(negative, Simd::set1(88.0f))));
  return Simd::mul(Simd::div(gate, denominator), up);
}
