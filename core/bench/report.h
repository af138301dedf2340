// What a benchmark found, as a table and as JSON.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/bench/compare.h"
#include "core/bench/timing.h"

namespace moiety::bench {

struct Row {
  std::string what;      // "layer", "step", "gemm", "attn", "loss"
  std::string shape;     // name and sizes
  Times times;           // of one call
  double teraflops = 0;  // useful operations of a call, in 10^12; 0 = not counted
  double tokens = 0;     // of a call; 0 = not counted
  double peak_gib = 0;   // memory of the device, by our allocations
  std::string detail;    // what else was seen: errors, dropped share, graph
  Json memory = {};      // bytes by what they are for; null where they were not counted
  bool right = true;     // within `tolerance` of its reference; otherwise it was not timed
  double tolerance = kTolerance;
  double rate() const { return times.median > 0 ? teraflops / times.median * 1e3 : 0; }
};

struct Report {
  std::string device;
  Ceilings ceilings;
  std::vector<Row> rows;
};

/// Milliseconds (median, least, most), TFLOP/s, share of both ceilings, thousands of tokens a
/// second, memory.
MOIETY_API std::string table(const Report& report);
MOIETY_API Json to_json(const Report& report);

}  // namespace moiety::bench
