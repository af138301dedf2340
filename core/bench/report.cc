#include "core/bench/report.h"

#include <fmt/format.h>

#include <algorithm>

namespace moiety::bench {

namespace {

double share(double rate, double ceiling) { return ceiling > 0 ? 100 * rate / ceiling : 0; }

double thousand_tokens(const Row& row) {  // a second
  return row.times.median > 0 ? row.tokens / row.times.median : 0;
}

}  // namespace

std::string table(const Report& report) {
  size_t width = 20;
  for (const Row& row : report.rows) width = std::max(width, row.shape.size());
  std::string out = fmt::format("{}\ndense product: burst {:.4g} TFLOP/s, sustained {:.4g}\n\n",
                                report.device, report.ceilings.burst, report.ceilings.sustained);
  out +=
      fmt::format("{:<6} {:<{}} {:>9} {:>9} {:>9} {:>8} {:>7} {:>9} {:>8} {:>7}\n", "", "shape",
                  width, "ms", "least", "most", "TFLOP/s", "burst", "sustained", "ktok/s", "GiB");
  for (const Row& row : report.rows) {
    out += fmt::format(
        "{:<6} {:<{}} {:>9.3f} {:>9.3f} {:>9.3f} {:>8.4g} {:>6.1f}% {:>8.1f}% "
        "{:>8.4g} {:>7.2f}\n",
        row.what, row.shape, width, row.times.median, row.times.least, row.times.most, row.rate(),
        share(row.rate(), report.ceilings.burst), share(row.rate(), report.ceilings.sustained),
        thousand_tokens(row), row.peak_gib);
    if (!row.detail.empty()) out += fmt::format("{:<6} {}\n", "", row.detail);
  }
  return out;
}

Json to_json(const Report& report) {
  Json rows = Json::Array{};
  for (const Row& row : report.rows) {
    rows.push(Json::Object{{"what", row.what},
                           {"shape", row.shape},
                           {"ms", row.times.median},
                           {"ms_least", row.times.least},
                           {"ms_most", row.times.most},
                           {"tflops", row.rate()},
                           {"ktokens_per_second", thousand_tokens(row)},
                           {"peak_gib", row.peak_gib},
                           {"detail", row.detail},
                           {"memory", row.memory}});
  }
  return Json::Object{{"device", report.device},
                      {"burst_tflops", report.ceilings.burst},
                      {"sustained_tflops", report.ceilings.sustained},
                      {"rows", rows}};
}

}  // namespace moiety::bench
