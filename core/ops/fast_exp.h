// exp and 1 / x in f32 as straight arithmetic: a loop over them vectorizes, and every vector width
// gives the same bits.
#pragma once

#include <cmath>

#include <moiety/float16.h>

namespace moiety::ops {

/// e^x within 1.5 units in the last place. Results below 2^-125 are 0, above the largest float
/// infinite; NaN stays. On CUDA it is expf.
MOIETY_HD inline float fast_exp(float x) {
#if defined(__CUDA_ARCH__)
  return expf(x);
#else
  constexpr float kLow = -86.9f, kHigh = 88.722839f;
  const float bounded = x < kLow ? kLow : (x > kHigh ? kHigh : x);  // NaN passes
  // x = n ln2 + r: adding 1.5 * 2^23 rounds to the integer n and leaves it in the low bits.
  const float shifted = bounded * 1.442695041f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;  // ln2 in two parts
  // e^r = 1 + r + r^2 q(r), q by a minimax fit on |r| <= ln2 / 2, relative error 3e-9.
  float q = 1.381460112e-3f;
  q = q * r + 8.368715644e-3f;
  q = q * r + 4.166838899e-2f;
  q = q * r + 1.666652113e-1f;
  q = q * r + 4.999999404e-1f;
  const float p = (q * (r * r) + r) + 1.0f;
  // 2^n as 2 * 2^(n - 1): n may be 128.
  const float half_scale = detail::float_of((detail::bits_of(shifted) + 126u) << 23);
  float y = (p + p) * half_scale;
  y = x < kLow ? 0.0f : y;
  return x > kHigh ? INFINITY : y;
#endif
}

/// e^x as fast as the device has it. On CUDA the special function unit's 2^(x log2 e), within 2 +
/// |x| / 2 units in the last place, below 2^-126 0; elsewhere fast_exp.
MOIETY_HD inline float native_exp(float x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.442695041f));
  return y;
#else
  return fast_exp(x);
#endif
}

/// 1 / x. On CUDA within 1 unit in the last place and without the branch of an exact division; 0
/// above 2^126.
MOIETY_HD inline float reciprocal(float x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return 1.0f / x;
#endif
}

/// The greater, or the lesser, of x and a bound; NaN passes.
MOIETY_HD inline float at_least(float x, float low) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(x), "f"(low));
  return y;
#else
  return x < low ? low : x;
#endif
}
MOIETY_HD inline float at_most(float x, float high) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(x), "f"(high));
  return y;
#else
  return x > high ? high : x;
#endif
}

}  // namespace moiety::ops
