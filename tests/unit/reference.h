// The transformer's ops as plain float64 loops: what the tests compare with. Nothing here is
// shared with the code under test.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

namespace moiety::reference {

using Vector = std::vector<double>;

inline Vector widen(const std::vector<float>& x) { return {x.begin(), x.end()}; }
inline std::vector<float> narrow(const Vector& x) {
  std::vector<float> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = static_cast<float>(x[i]);
  return y;
}

inline double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// d/de <f(x + e direction), dy> at e = 0, by central differences.
inline double slope(const std::function<Vector(const Vector&)>& f, const Vector& x,
                    const Vector& direction, const Vector& dy, double step = 1e-5) {
  Vector up = x, down = x;
  for (size_t i = 0; i < x.size(); ++i) {
    up[i] += step * direction[i];
    down[i] -= step * direction[i];
  }
  return (dot(f(up), dy) - dot(f(down), dy)) / (2 * step);
}

/// The gradient of <f(x), dy> with respect to x, element by element.
inline Vector gradient(const std::function<Vector(const Vector&)>& f, const Vector& x,
                       const Vector& dy) {
  Vector g(x.size()), e(x.size(), 0.0);
  for (size_t i = 0; i < x.size(); ++i) {
    e[i] = 1;
    g[i] = slope(f, x, e, dy);
    e[i] = 0;
  }
  return g;
}

/// y = (x - mean) / sqrt(variance + eps) * weight + bias; without `center`, RMS norm.
inline Vector norm(const Vector& x, const Vector& weight, const Vector& bias, double eps,
                   bool center) {
  const size_t D = weight.size();
  Vector y(x.size());
  for (size_t begin = 0; begin < x.size(); begin += D) {
    double mean = 0, square = 0;
    for (size_t c = 0; center && c < D; ++c) mean += x[begin + c] / static_cast<double>(D);
    for (size_t c = 0; c < D; ++c) {
      square += (x[begin + c] - mean) * (x[begin + c] - mean) / static_cast<double>(D);
    }
    for (size_t c = 0; c < D; ++c) {
      y[begin + c] = (x[begin + c] - mean) / std::sqrt(square + eps) * weight[c];
      if (!bias.empty()) y[begin + c] += bias[c];
    }
  }
  return y;
}

struct AttentionCase {
  size_t batch, sequence, heads, kv_heads, head_dim;
  double scale;
  size_t value_dim = 0;              // 0 = head_dim
  std::vector<int32_t> starts = {};  // first key of each token, within its sequence; empty = 0
  size_t values() const { return value_dim > 0 ? value_dim : head_dim; }
  size_t width() const { return (heads + kv_heads) * head_dim + kv_heads * values(); }
  size_t tokens() const { return batch * sequence; }
  size_t first_key(size_t token) const {
    return starts.empty() ? 0 : static_cast<size_t>(starts[token]);
  }
};

/// Causal attention. keep(token, head, key) multiplies each probability; empty = 1.
inline Vector attention(const AttentionCase& a, const Vector& qkv,
                        const std::function<double(size_t, size_t, size_t)>& keep = {}) {
  const size_t vd = a.values();
  Vector out(a.tokens() * a.heads * vd, 0.0);
  for (size_t b = 0; b < a.batch; ++b) {
    for (size_t h = 0; h < a.heads; ++h) {
      const size_t kv = h / (a.heads / a.kv_heads);
      for (size_t q = 0; q < a.sequence; ++q) {
        const size_t token = b * a.sequence + q;
        Vector p(q + 1);
        double sum = 0;
        for (size_t k = a.first_key(token); k <= q; ++k) {
          double s = 0;
          for (size_t d = 0; d < a.head_dim; ++d) {
            s += qkv[token * a.width() + h * a.head_dim + d] *
                 qkv[(b * a.sequence + k) * a.width() + (a.heads + kv) * a.head_dim + d];
          }
          p[k] = std::exp(s * a.scale);
          sum += p[k];
        }
        for (size_t k = a.first_key(token); k <= q; ++k) {
          const double kept = p[k] / sum * (keep ? keep(token, h, k) : 1.0);
          const size_t value =
              (b * a.sequence + k) * a.width() + (a.heads + a.kv_heads) * a.head_dim + kv * vd;
          for (size_t d = 0; d < vd; ++d) {
            out[(token * a.heads + h) * vd + d] += kept * qkv[value + d];
          }
        }
      }
    }
  }
  return out;
}

/// Loss of each row; rows with a negative target have none.
inline Vector cross_entropy(const Vector& logits, const std::vector<int32_t>& target) {
  const size_t V = logits.size() / target.size();
  Vector loss(target.size(), 0.0);
  for (size_t r = 0; r < target.size(); ++r) {
    if (target[r] < 0) continue;
    double top = -INFINITY, sum = 0;
    for (size_t c = 0; c < V; ++c) top = std::max(top, logits[r * V + c]);
    for (size_t c = 0; c < V; ++c) sum += std::exp(logits[r * V + c] - top);
    loss[r] = top + std::log(sum) - logits[r * V + static_cast<size_t>(target[r])];
  }
  return loss;
}

}  // namespace moiety::reference
