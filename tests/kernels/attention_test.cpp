// Goal: paged attention is softmax(scale q k^T) v for every level of instructions, and a row's bits
// depend on nothing but its own sequence. Method: a plain softmax in f64 as oracle; the same
// sequence alone, in a batch, in chunks, on scattered pages, with several threads.
#include "minke/kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/kernels/matrices.h"

namespace minke {
namespace {

using kernels::AttentionSegment;
using kernels::kPageTokens;

struct Heads {
  int64_t num_heads, num_kv_heads, head_dim;
};

// The pages of one layer, handed out in a scattered order.
class Pages {
 public:
  Pages(DType dtype, const Heads& heads, int64_t num_pages)
      : memory_(num_pages *
                kernels::KvPages{nullptr, dtype, heads.num_kv_heads, heads.head_dim}.page_bytes()),
        view_{memory_.data(), dtype, heads.num_kv_heads, heads.head_dim},
        order_(num_pages) {
    std::iota(order_.begin(), order_.end(), 0);
    std::reverse(order_.begin(), order_.end());
  }
  const kernels::KvPages& view() const { return view_; }
  const int32_t* table(int64_t first_page) const { return order_.data() + first_page; }

 private:
  std::vector<std::byte> memory_;
  kernels::KvPages view_;
  std::vector<int32_t> order_;
};

struct Sequence {
  Tensor q, k, v;  // [n, heads * head_dim]
};
Sequence random_sequence(Random& random, DType dtype, const Heads& heads, int64_t n) {
  return {random_matrix(random, dtype, n, heads.num_heads * heads.head_dim, 2.0),
          random_matrix(random, dtype, n, heads.num_kv_heads * heads.head_dim),
          random_matrix(random, dtype, n, heads.num_kv_heads * heads.head_dim)};
}

constexpr double kScale = 0.3;

double at(const Tensor& x, int64_t row, int64_t column) {
  const int64_t i = row * x.size(1) + column;
  return x.dtype() == DType::kF64 ? x.data<double>()[i] : x.data<float>()[i];
}

// One row of the output, [heads * head_dim], by the definition.
std::vector<double> expected_row(const Sequence& s, const Heads& heads, int64_t row) {
  std::vector<double> out(heads.num_heads * heads.head_dim, 0.0);
  for (int64_t head = 0; head < heads.num_heads; ++head) {
    const int64_t q = head * heads.head_dim;
    const int64_t kv = head / (heads.num_heads / heads.num_kv_heads) * heads.head_dim;
    double sum = 0.0;
    for (int64_t j = 0; j <= row; ++j) {
      double score = 0.0;
      for (int64_t d = 0; d < heads.head_dim; ++d)
        score += at(s.q, row, q + d) * at(s.k, j, kv + d);
      const double weight = std::exp(kScale * score);
      sum += weight;
      for (int64_t d = 0; d < heads.head_dim; ++d) out[q + d] += weight * at(s.v, j, kv + d);
    }
    for (int64_t d = 0; d < heads.head_dim; ++d) out[q + d] /= sum;
  }
  return out;
}

void expect_rows(const Tensor& out, const Sequence& s, const Heads& heads, double tolerance) {
  for (int64_t row = 0; row < out.size(0); row += kOracleStep) {
    const std::vector<double> expected = expected_row(s, heads, row);
    for (int64_t column = 0; column < out.size(1); ++column) {
      ASSERT_NEAR(at(out, row, column), expected[column], tolerance)
          << out.size(0) << " rows, " << heads.num_heads << " heads of " << heads.head_dim
          << ", row " << row << " column " << column;
    }
  }
}

// Runs rows [0, n) in chunks, over pages of its own.
Tensor run_in_chunks(const Device& device, const Sequence& s, const Heads& heads, DType kv_dtype,
                     int64_t chunk) {
  const int64_t n = s.q.size(0);
  const Pages pages(kv_dtype, heads, (n + kPageTokens - 1) / kPageTokens + 1);
  const Tensor out = Tensor::zeros(s.q.dtype(), s.q.shape());
  for (int64_t begin = 0; begin < n; begin += chunk) {
    const int64_t end = std::min(begin + chunk, n);
    const AttentionSegment segment{0, end - begin, begin, pages.table(0)};
    kernels::write_kv(device, s.k.rows(begin, end).view(), s.v.rows(begin, end).view(), &segment, 1,
                      pages.view());
    kernels::attention(device, s.q.rows(begin, end).view(), &segment, 1, pages.view(),
                       heads.num_heads, kScale, out.rows(begin, end).view());
  }
  return out;
}

class AttentionTest : public ::testing::TestWithParam<CpuLevel> {
 protected:
  void SetUp() override {
    if (!cpu_level_supported(GetParam())) GTEST_SKIP() << "not on this CPU";
  }
  // The scalar reference takes a minute over long texts there.
  static bool is_slow() { return kCheckedBuild && GetParam() == CpuLevel::kRef; }
  Random random_{31};
};

TEST_P(AttentionTest, EqualsSoftmaxInDoubleForGroupedHeadsAndOddLengths) {
  const Device device(2, false, GetParam());
  for (const Heads& heads : {Heads{9, 3, 64}, Heads{4, 2, 16}, Heads{2, 2, 48}, Heads{3, 1, 10}}) {
    for (const int64_t n : {1, 7, 33, 64, 65, 150}) {
      const Sequence s = random_sequence(random_, DType::kF32, heads, n);
      for (const DType kv_dtype : {DType::kF32, DType::kF16}) {
        const Tensor out = run_in_chunks(device, s, heads, kv_dtype, n);
        expect_rows(out, s, heads, kv_dtype == DType::kF16 ? 2e-2 : 2e-5);
      }
    }
  }
}

// More keys than a span holds: with few rows the spans are shared among threads, with many they are
// not, and tiles of rows end on both sides of a span's first key.
TEST_P(AttentionTest, SpansOfKeysAreJoinedToTheSameBitsHoweverTheyAreShared) {
  const Heads heads{6, 2, 48};
  const int64_t n = 2 * kernels::kSpanTokens + 40;
  const Sequence s = random_sequence(random_, DType::kF32, heads, n);
  for (const DType kv_dtype : {DType::kF32, DType::kF16, DType::kI8}) {
    if (is_slow() && kv_dtype != DType::kF16) continue;
    const Tensor whole = run_in_chunks(Device(1, false, GetParam()), s, heads, kv_dtype, n);
    for (const int64_t row : {int64_t{3}, kernels::kSpanTokens - 1, kernels::kSpanTokens,
                              kernels::kSpanTokens + 1, n - 1}) {
      if (kv_dtype != DType::kF32) break;
      const std::vector<double> expected = expected_row(s, heads, row);
      for (int64_t column = 0; column < whole.size(1); ++column) {
        ASSERT_NEAR(at(whole, row, column), expected[column], 2e-5) << row << " " << column;
      }
    }
    for (const int num_threads : thinned({1, 2, 3}, {3})) {
      const Device device(num_threads, false, GetParam());
      const Pages pages(kv_dtype, heads, n / kPageTokens + 1);
      Tensor out = Tensor::zeros(DType::kF32, s.q.shape());
      int64_t begin = 0;
      for (const int64_t chunk : {kernels::kSpanTokens - 3, int64_t{1}, int64_t{1}, int64_t{5},
                                  int64_t{480}, int64_t{49}, int64_t{1}, int64_t{30}, int64_t{1}}) {
        const int64_t end = std::min(begin + chunk, n);
        const AttentionSegment segment{0, end - begin, begin, pages.table(0)};
        kernels::write_kv(device, s.k.rows(begin, end).view(), s.v.rows(begin, end).view(),
                          &segment, 1, pages.view());
        kernels::attention(device, s.q.rows(begin, end).view(), &segment, 1, pages.view(),
                           heads.num_heads, kScale, out.rows(begin, end).view());
        begin = end;
      }
      ASSERT_EQ(first_difference(whole.rows(0, begin), out.rows(0, begin)), -1) << num_threads;
      ASSERT_GT(begin, n - 40);
    }
  }
}

// A long and a short sequence in one batch, whose spans are shared among threads.
TEST_P(AttentionTest, SpansOfSeveralSequencesStayApart) {
  const Heads heads{4, 2, 16};
  const int64_t lengths[] = {kernels::kSpanTokens + 70, 9};
  const Device one(1, false, GetParam());
  const Device device(3, false, GetParam());
  const Pages pages(DType::kF32, heads, 16);
  std::vector<Sequence> sequences;
  std::vector<AttentionSegment> segments;
  Sequence last = random_sequence(random_, DType::kF32, heads, 2);  // the last row of each
  for (int64_t i = 0; i < 2; ++i) {
    sequences.push_back(random_sequence(random_, DType::kF32, heads, lengths[i]));
    const Sequence& s = sequences.back();
    const int32_t* table = pages.table(i * 12);
    const AttentionSegment whole{0, lengths[i], 0, table};
    kernels::write_kv(device, s.k.view(), s.v.view(), &whole, 1, pages.view());
    std::copy_n(s.q.data<float>() + (lengths[i] - 1) * s.q.size(1), s.q.size(1),
                last.q.data<float>() + i * s.q.size(1));
    segments.push_back({i, 1, lengths[i] - 1, table});
  }
  const Tensor out = Tensor::zeros(DType::kF32, last.q.shape());
  kernels::attention(device, last.q.view(), segments.data(), 2, pages.view(), heads.num_heads,
                     kScale, out.view());
  for (int64_t i = 0; i < 2; ++i) {
    const Tensor alone = run_in_chunks(one, sequences[i], heads, DType::kF32, lengths[i]);
    EXPECT_EQ(first_difference(alone.rows(lengths[i] - 1, lengths[i]), out.rows(i, i + 1)), -1)
        << i;
  }
}

// What int8 pages stand for: each token's keys and values of a head in units of max|x| / 127.
Tensor rounded_to_int8(const Tensor& x, int64_t head_dim) {
  Tensor out = Tensor::zeros(DType::kF32, x.shape());
  for (int64_t begin = 0; begin < x.num_elements(); begin += head_dim) {
    const float* in = x.data<float>() + begin;
    float max = 0.0f;
    for (int64_t d = 0; d < head_dim; ++d) max = std::max(max, std::fabs(in[d]));
    for (int64_t d = 0; d < head_dim; ++d) {
      out.data<float>()[begin + d] = max == 0.0f ? 0.0f : std::round(in[d] / max * 127) * max / 127;
    }
  }
  return out;
}

TEST_P(AttentionTest, Int8PagesHoldTheRoundedNumbers) {
  const Device device(2, false, GetParam());
  for (const Heads& heads : {Heads{9, 3, 64}, Heads{4, 2, 16}, Heads{3, 1, 10}}) {
    for (const int64_t n : {1, 7, 33, 64, 65, 150}) {
      Sequence s = random_sequence(random_, DType::kF32, heads, n);
      std::fill_n(s.v.data<float>(), heads.head_dim, 0.0f);  // the first token has no values
      const Tensor out = run_in_chunks(device, s, heads, DType::kI8, n);
      s.k = rounded_to_int8(s.k, heads.head_dim);
      s.v = rounded_to_int8(s.v, heads.head_dim);
      expect_rows(out, s, heads, 5e-5);
    }
  }
}

TEST_P(AttentionTest, WorksInDoubleForGradientChecks) {
  const Device device(2, false, GetParam());
  const Heads heads{4, 2, 6};
  const Sequence s = random_sequence(random_, DType::kF64, heads, 70);
  const Tensor out = run_in_chunks(device, s, heads, DType::kF64, 70);
  expect_rows(out, s, heads, 1e-12);
}

TEST_P(AttentionTest, ChunksAndThreadsDoNotChangeABit) {
  const Heads heads{9, 3, 32};
  const Sequence s = random_sequence(random_, DType::kF32, heads, 145);
  for (const DType kv_dtype : {DType::kF32, DType::kF16, DType::kI8}) {
    const Tensor whole = run_in_chunks(Device(1, false, GetParam()), s, heads, kv_dtype, 145);
    for (const int num_threads : thinned({1, 2, 3}, {2})) {
      for (const int64_t chunk : thinned<int64_t>({1, 7, 64, 100, 145}, {7, 100})) {
        const Device device(num_threads, false, GetParam());
        const Tensor out = run_in_chunks(device, s, heads, kv_dtype, chunk);
        ASSERT_EQ(first_difference(whole, out), -1) << num_threads << " threads, chunk " << chunk;
      }
    }
  }
}

TEST_P(AttentionTest, TheRestOfTheBatchDoesNotChangeABit) {
  const Device device(2, false, GetParam());
  const Heads heads{4, 2, 16};
  const int64_t lengths[] = {70, 1, 30};
  std::vector<Sequence> sequences;
  int64_t total = 0;
  for (const int64_t n : lengths) {
    sequences.push_back(random_sequence(random_, DType::kF32, heads, n));
    total += n;
  }
  const Pages pages(DType::kF32, heads, 8);
  Sequence batch = random_sequence(random_, DType::kF32, heads, total);
  std::vector<AttentionSegment> segments;
  int64_t row = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const auto append = [&](const Tensor& to, const Tensor& from) {
      std::copy_n(from.data<float>(), from.num_elements(), to.data<float>() + row * to.size(1));
    };
    append(batch.q, sequences[i].q);
    append(batch.k, sequences[i].k);
    append(batch.v, sequences[i].v);
    segments.push_back({row, lengths[i], 0, pages.table(static_cast<int64_t>(i) * 2)});
    row += lengths[i];
  }
  const Tensor out = Tensor::zeros(DType::kF32, batch.q.shape());
  kernels::write_kv(device, batch.k.view(), batch.v.view(), segments.data(), 3, pages.view());
  kernels::attention(device, batch.q.view(), segments.data(), 3, pages.view(), heads.num_heads,
                     kScale, out.view());
  for (size_t i = 0; i < sequences.size(); ++i) {
    const Tensor alone = run_in_chunks(device, sequences[i], heads, DType::kF32, lengths[i]);
    const int64_t begin = segments[i].row_begin;
    EXPECT_EQ(first_difference(alone, out.rows(begin, begin + lengths[i])), -1) << "sequence " << i;
  }
}

// Values of another size than keys (MLA), as if the values were padded with zeros or the keys were.
TEST_P(AttentionTest, ValuesOfAnotherSizeAreThoseOfPaddedHeads) {
  const Device device(2, false, GetParam());
  for (const auto& [key_dim, value_dim] :
       {std::array<int64_t, 2>{48, 32}, {32, 48}, {12, 5}, {16, 80}}) {
    const int64_t n = 140, heads = 3, wide = std::max(key_dim, value_dim);
    const Heads padded{heads, heads, wide};
    Sequence s = random_sequence(random_, DType::kF32, padded, n);
    const auto narrow = [&](const Tensor& x, int64_t dim) {
      const Tensor out = Tensor::zeros(DType::kF32, {n, heads * dim});
      for (int64_t i = 0; i < n * heads; ++i) {
        for (int64_t d = dim; d < wide; ++d) x.data<float>()[i * wide + d] = 0.0f;
        std::copy_n(x.data<float>() + i * wide, dim, out.data<float>() + i * dim);
      }
      return out;
    };
    const Tensor q = narrow(s.q, key_dim), k = narrow(s.k, key_dim), v = narrow(s.v, value_dim);
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kI8}) {
      kernels::KvPages pages{nullptr, dtype, heads, key_dim, 1, value_dim};
      const Tensor memory = Tensor::zeros(DType::kI8, {3, pages.page_bytes()});
      pages.data = memory.view().data;
      const int32_t table[] = {2, 0, 1};
      const AttentionSegment segment{0, n, 0, table};
      const Tensor out = Tensor::zeros(DType::kF32, {n, heads * value_dim});
      kernels::write_kv(device, k.view(), v.view(), &segment, 1, pages);
      kernels::attention(device, q.view(), &segment, 1, pages, heads, kScale, out.view());
      const Tensor expected = narrow(run_in_chunks(device, s, padded, dtype, n), value_dim);
      for (int64_t i = 0; i < out.num_elements(); ++i) {
        ASSERT_NEAR(out.data<float>()[i], expected.data<float>()[i], 1e-5)
            << key_dim << " " << value_dim << " " << dtype_info(dtype).name << " " << i;
      }
    }
  }
}

// Latent pages are those of one head whose values begin its keys: as read back from them, for their
// rounding is their own. A row's bits are the same alone, with one thread, and when the spans or
// the heads are shared.
TEST_P(AttentionTest, LatentPagesAreOneHeadWhoseValuesBeginItsKeys) {
  for (const auto& [latent_dim, rest_dim, heads, n] :
       {std::array<int64_t, 4>{48, 16, 5, 130}, {64, 32, 16, 600}, {5, 4, 3, 70}}) {
    if (is_slow() && n > kernels::kSpanTokens) continue;
    const int64_t key_dim = latent_dim + rest_dim;
    const Tensor q = random_matrix(random_, DType::kF32, n, heads * key_dim);
    const Tensor rest = random_matrix(random_, DType::kF32, n, rest_dim, 20.0);
    const Tensor latent = random_matrix(random_, DType::kF32, n, latent_dim);
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kI8}) {
      kernels::KvPages pages{nullptr, dtype, 1, key_dim, 1, latent_dim, true};
      const Tensor memory = Tensor::zeros(DType::kI8, {10, pages.page_bytes()});
      pages.data = memory.view().data;
      const int32_t table[] = {9, 2, 0, 1, 5, 4, 3, 6, 8, 7};
      const AttentionSegment segment{0, n, 0, table};
      const Device device(3, false, GetParam());
      kernels::write_kv(device, rest.view(), latent.view(), &segment, 1, pages);
      const Tensor out = Tensor::zeros(DType::kF32, {n, heads * latent_dim});
      kernels::attention(device, q.view(), &segment, 1, pages, heads, 0.05, out.view());

      const Tensor k = Tensor::zeros(DType::kF32, {n, key_dim});
      const Tensor v = Tensor::zeros(DType::kF32, {n, latent_dim});
      kernels::read_latents(device, pages, table, k.columns(latent_dim, key_dim).view(), v.view());
      const double step = dtype == DType::kF32 ? 0.0 : dtype == DType::kF16 ? 1e-3 : 8e-3;
      for (int64_t row = 0; row < n; ++row) {
        std::copy_n(v.view().row<float>(row), latent_dim, k.view().row<float>(row));
        for (int64_t d = 0; d < key_dim; ++d) {
          const double from = d < latent_dim ? at(latent, row, d) : at(rest, row, d - latent_dim);
          ASSERT_NEAR(at(k, row, d), from, step * (d < latent_dim ? 5 : 100)) << row << " " << d;
        }
      }
      kernels::KvPages plain{nullptr, DType::kF32, 1, key_dim, 1, latent_dim};
      const Tensor plain_memory = Tensor::zeros(DType::kI8, {10, plain.page_bytes()});
      plain.data = plain_memory.view().data;
      const Tensor expected = Tensor::zeros(DType::kF32, {n, heads * latent_dim});
      kernels::write_kv(device, k.view(), v.view(), &segment, 1, plain);
      kernels::attention(device, q.view(), &segment, 1, plain, heads, 0.05, expected.view());
      for (int64_t i = 0; i < out.num_elements(); ++i) {
        ASSERT_NEAR(out.data<float>()[i], expected.data<float>()[i], 2e-5)
            << latent_dim << " " << dtype_info(dtype).name << " " << i;
      }
      for (const int num_threads : {1, 2}) {
        const Device other(num_threads, false, GetParam());
        for (const int64_t row : {int64_t{0}, int64_t{65}, n - 1}) {
          const AttentionSegment alone{0, 1, row, table};
          const Tensor one = Tensor::zeros(DType::kF32, {1, heads * latent_dim});
          kernels::attention(other, q.rows(row, row + 1).view(), &alone, 1, pages, heads, 0.05,
                             one.view());
          ASSERT_EQ(first_difference(one, out.rows(row, row + 1)), -1) << row << " " << num_threads;
        }
      }
    }
  }
}

TEST_P(AttentionTest, HugeScoresStayFinite) {
  const Device device(1, false, GetParam());
  const Heads heads{1, 1, 16};
  Sequence s = random_sequence(random_, DType::kF32, heads, 80);
  for (float& value : s.q.span<float>()) value *= 1e4f;
  const Tensor out = run_in_chunks(device, s, heads, DType::kF32, 80);
  for (const float value : out.span<float>()) ASSERT_TRUE(std::isfinite(value));
}

TEST_P(AttentionTest, NumbersBeyondF16AreTakenAsItsLargest) {
  const Device device(1, false, GetParam());
  const Heads heads{2, 1, 16};
  Sequence s = random_sequence(random_, DType::kF32, heads, 70);
  s.k.data<float>()[5] = 1e6f;
  std::fill_n(s.v.data<float>() + 3 * 16, 16, -1e9f);
  const Tensor out = run_in_chunks(device, s, heads, DType::kF16, 70);
  s.k.data<float>()[5] = 65504.0f;
  std::fill_n(s.v.data<float>() + 3 * 16, 16, -65504.0f);
  const Tensor expected = run_in_chunks(device, s, heads, DType::kF16, 70);
  for (int64_t i = 0; i < out.num_elements(); ++i) {
    ASSERT_TRUE(std::isfinite(out.data<float>()[i]));
    ASSERT_EQ(out.data<float>()[i], expected.data<float>()[i]);
  }
  s.v.data<float>()[3 * 16] = std::nanf("");  // a fault stays visible
  EXPECT_TRUE(std::isnan(run_in_chunks(device, s, heads, DType::kF16, 70).data<float>()[69 * 32]));
}

INSTANTIATE_TEST_SUITE_P(Levels, AttentionTest, ::testing::ValuesIn(kCpuLevels),
                         [](const auto& param) { return cpu_level_name(param.param); });

}  // namespace
}  // namespace minke
