#include <cmath>

#include "minke/kernels/exp.h"
#include "minke/kernels/pointwise.h"
#include "minke/kernels/row_math.h"

namespace minke::kernels {
namespace {

constexpr double kInverseRootTwoPi = 0.3989422804014327;

// What x is multiplied by, and the derivative of the product.
template <class T>
struct Gate {
  T value;
  T derivative;
};

// x Phi(x), whose derivative is Phi(x) + x phi(x). In f32
//   Phi(-z sqrt 2) = 1/2 p(1 / (1 + 0.3275911 z)) e^(-z^2), z >= 0,
// within 0.8e-7 (Abramowitz and Stegun 1964, 7.1.26).
template <class T>
Gate<T> erf_gate(T x) {
  const T density = static_cast<T>(kInverseRootTwoPi) * exp_of<T>(T{-0.5} * x * x);
  T phi;
  if constexpr (sizeof(T) == 8) {
    phi = 0.5 * std::erfc(-x * std::sqrt(0.5));
  } else {
    const T z = std::fabs(x) * static_cast<T>(std::sqrt(0.5));
    const T t = T{1} / (T{1} + T{0.3275911f} * z);
    T p = T{1.061405429f};
    p = p * t - T{1.453152027f};
    p = p * t + T{1.421413741f};
    p = p * t - T{0.284496736f};
    p = p * t + T{0.254829592f};
    const T tail = T{0.5f} * p * t * exp_of<T>(T{-0.5f} * x * x);
    phi = x < T{0} ? tail : T{1} - tail;
  }
  return {phi, phi + x * density};
}

// x / 2 (1 + tanh u) = x s with s = 1 / (1 + e^(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3).
template <class T>
Gate<T> tanh_gate(T x) {
  constexpr T kTwoRoot = static_cast<T>(4 * kInverseRootTwoPi);  // 2 sqrt(2 / pi)
  constexpr T kCubic = static_cast<T>(0.044715);
  const T s = T{1} / (T{1} + exp_of<T>(-kTwoRoot * (x + kCubic * x * x * x)));
  const T slope = kTwoRoot * (T{1} + T{3} * kCubic * x * x);
  return {s, s + x * s * (T{1} - s) * slope};
}

template <class T, GeluForm kForm>
Gate<T> gate_of(T x) {
  return kForm == GeluForm::kErf ? erf_gate<T>(x) : tanh_gate<T>(x);
}

// Calls body(type, form) with values that carry the type and the form.
template <class Body>
void with_form(const char* op, DType dtype, GeluForm form, const Body& body) {
  with_float_type(op, dtype, [&](auto zero) {
    if (form == GeluForm::kErf) {
      body(zero, std::integral_constant<GeluForm, GeluForm::kErf>());
    } else {
      body(zero, std::integral_constant<GeluForm, GeluForm::kTanh>());
    }
  });
}

}  // namespace

void gelu(const Device& device, const ConstView& x, GeluForm form, const View& y) {
  MK_CHECK(x.rows == y.rows && x.cols == y.cols && x.dtype == y.dtype, "gelu: [{}, {}] to [{}, {}]",
           x.rows, x.cols, y.rows, y.cols);
  with_form("gelu", x.dtype, form, [&](auto zero, auto of_form) {
    using T = decltype(zero);
    const auto body = [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        const T* in = x.row<T>(row);
        T* out = y.row<T>(row);
        for (int64_t i = 0; i < x.cols; ++i) out[i] = in[i] * gate_of<T, of_form()>(in[i]).value;
      }
    };
    device.pool().parallel_for(x.rows, row_grain(4 * x.cols), body);
  });
}

void gelu_grad(const Device& device, const ConstView& x, const ConstView& dy, GeluForm form,
               const View& dx) {
  MK_CHECK(x.rows == dy.rows && x.cols == dy.cols && x.dtype == dy.dtype && dx.rows == x.rows &&
               dx.cols == x.cols && dx.dtype == x.dtype,
           "gelu_grad: x [{}, {}], dy [{}, {}], dx [{}, {}]", x.rows, x.cols, dy.rows, dy.cols,
           dx.rows, dx.cols);
  with_form("gelu_grad", x.dtype, form, [&](auto zero, auto of_form) {
    using T = decltype(zero);
    const auto body = [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        const T* in = x.row<T>(row);
        const T* from = dy.row<T>(row);
        T* to = dx.row<T>(row);
        for (int64_t i = 0; i < x.cols; ++i) {
          to[i] = from[i] * gate_of<T, of_form()>(in[i]).derivative;
        }
      }
    };
    device.pool().parallel_for(x.rows, row_grain(4 * x.cols), body);
  });
}

}  // namespace minke::kernels
