// What the comparison with reference implementations found: one row per quantity.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <moiety/export.h>

namespace moiety::testing {

struct ParityRow {
  enum class Status : uint8_t { kPass, kFail, kLater };
  std::string reference, item, quantity;  // "gating.h5", "top1/case_000", "slot"
  double error = 0, tolerance = 0;
  Status status = Status::kPass;
  std::string note;  // why it failed or is left for later
};

/// Rows in the order they were added. Every case that a reference lists must end with at least one
/// row; finish() adds a failing row for each that has none.
class MOIETY_API ParityReport {
 public:
  /// A case that must be compared.
  void expect(const std::string& reference, const std::string& item);
  /// What the next add() calls belong to.
  void begin(const std::string& reference, const std::string& item);
  /// Passes when error <= tolerance; NaN fails.
  void add(const std::string& quantity, double error, double tolerance);
  void fail(const std::string& quantity, const std::string& note);
  /// A group of the files for which the program has nothing yet.
  void later(const std::string& reference, const std::string& item, const std::string& note);
  void finish();

  bool passed() const;
  /// A table with a line of totals.
  std::string table() const;
  const std::vector<ParityRow>& rows() const { return rows_; }

 private:
  struct Case {
    bool compared = false;
  };
  std::vector<ParityRow> rows_;
  std::map<std::pair<std::string, std::string>, Case> cases_;
  std::string reference_, item_;
};

}  // namespace moiety::testing
