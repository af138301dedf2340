#include "core/testing/parity_report.h"

#include <algorithm>

#include "core/base/check.h"

namespace moiety::testing {

using Status = ParityRow::Status;

void ParityReport::expect(const std::string& reference, const std::string& item) {
  cases_[{reference, item}];
}

void ParityReport::begin(const std::string& reference, const std::string& item) {
  reference_ = reference;
  item_ = item;
}

void ParityReport::add(const std::string& quantity, double error, double tolerance) {
  const bool good = error <= tolerance;
  rows_.push_back(
      {reference_, item_, quantity, error, tolerance, good ? Status::kPass : Status::kFail, ""});
  const auto found = cases_.find({reference_, item_});
  MOIETY_CHECK(found != cases_.end(), "parity: {} {} was compared but not listed", reference_,
               item_);
  found->second.compared = true;
}

void ParityReport::fail(const std::string& quantity, const std::string& note) {
  rows_.push_back({reference_, item_, quantity, 0, 0, Status::kFail, note});
}

void ParityReport::later(const std::string& reference, const std::string& item,
                         const std::string& note) {
  rows_.push_back({reference, item, "", 0, 0, Status::kLater, note});
}

void ParityReport::finish() {
  for (const auto& [key, state] : cases_) {
    if (state.compared) continue;
    begin(key.first, key.second);
    fail("", "listed in the file, but nothing was compared");
  }
}

bool ParityReport::passed() const {
  return std::none_of(rows_.begin(), rows_.end(),
                      [](const ParityRow& row) { return row.status == Status::kFail; });
}

std::string ParityReport::table() const {
  size_t widths[3] = {9, 4, 8};
  for (const ParityRow& row : rows_) {
    widths[0] = std::max(widths[0], row.reference.size());
    widths[1] = std::max(widths[1], row.item.size());
    widths[2] = std::max(widths[2], row.quantity.size());
  }
  std::string out =
      fmt::format("{:{}}  {:{}}  {:{}}  {:>13}  {:>9}  pass\n", "reference", widths[0], "case",
                  widths[1], "quantity", widths[2], "largest error", "tolerance");
  size_t counts[3] = {};
  for (const ParityRow& row : rows_) {
    ++counts[static_cast<size_t>(row.status)];
    const char* word = row.status == Status::kPass   ? "pass"
                       : row.status == Status::kFail ? "FAIL"
                                                     : "later";
    const bool numbers = row.status != Status::kLater && row.note.empty();
    out += fmt::format("{:{}}  {:{}}  {:{}}  {:>13}  {:>9}  {}{}{}\n", row.reference, widths[0],
                       row.item, widths[1], row.quantity, widths[2],
                       numbers ? fmt::format("{:.2e}", row.error) : "",
                       numbers ? fmt::format("{:.0e}", row.tolerance) : "", word,
                       row.note.empty() ? "" : ": ", row.note);
  }
  const auto compared = std::count_if(cases_.begin(), cases_.end(),
                                      [](const auto& entry) { return entry.second.compared; });
  out +=
      fmt::format("{} of {} listed cases compared; {} quantities pass, {} fail; {} groups later\n",
                  compared, cases_.size(), counts[0], counts[1], counts[2]);
  return out;
}

}  // namespace moiety::testing
