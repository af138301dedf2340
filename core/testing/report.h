// Collects what the checks of one component find, over all variants of its options.
#pragma once

#include <functional>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/testing/conformance.h"

namespace moiety::testing {

/// What a check says: nothing (passed), what is wrong, or why it does not apply.
struct Verdict {
  Verdict(std::string problem)  // NOLINT: return "what is wrong" is the point
      : outcome(problem.empty() ? Outcome::kPass : Outcome::kFail), detail(std::move(problem)) {}
  Verdict(const char* problem) : Verdict(std::string(problem)) {}  // NOLINT
  static Verdict skip(std::string reason) {
    Verdict v("");
    v.outcome = Outcome::kSkip;
    v.detail = std::move(reason);
    return v;
  }
  Outcome outcome;
  std::string detail;
};

class Report {
 public:
  explicit Report(std::string component) : component_(std::move(component)) {}

  /// The options that the following checks run with; "" = the defaults.
  void begin_variant(std::string name);
  /// Runs `body`. An exception inside is the check's failure. Skipped, naming it, where one of the
  /// checks it stands on failed in this variant. Of several variants the worst outcome stays.
  void check(const char* name, std::initializer_list<const char*> stands_on,
             const std::function<Verdict()>& body);
  void check(const char* name, const std::function<Verdict()>& body) { check(name, {}, body); }
  /// Something to tell that nobody can fail.
  void note(const char* name, std::string detail);
  bool failed(std::string_view check) const;  ///< in this variant
  std::vector<Finding> take() { return std::move(findings_); }

 private:
  void record(const char* name, Verdict verdict);

  std::string component_, variant_;
  std::set<std::string, std::less<>> failed_;
  std::vector<Finding> findings_;
};

}  // namespace moiety::testing
