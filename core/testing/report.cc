#include "core/testing/report.h"

#include <algorithm>

namespace moiety::testing {

namespace {

int severity(Outcome outcome) {
  return outcome == Outcome::kFail ? 2 : outcome == Outcome::kPass ? 1 : 0;
}

}  // namespace

void Report::begin_variant(std::string name) {
  variant_ = std::move(name);
  failed_.clear();
}

bool Report::failed(std::string_view check) const { return failed_.contains(check); }

void Report::check(const char* name, std::initializer_list<const char*> stands_on,
                   const std::function<Verdict()>& body) {
  for (const char* other : stands_on) {
    if (!failed(other)) continue;
    failed_.insert(name);  // what stands on this one cannot be judged either
    return record(name, Verdict::skip(std::string("not judged: ") + other + " failed"));
  }
  Verdict verdict("");
  try {
    verdict = body();
  } catch (const std::exception& e) {
    verdict = Verdict(std::string("threw: ") + e.what());
  } catch (...) {
    verdict = Verdict("threw something that is not a std::exception");
  }
  if (verdict.outcome == Outcome::kFail) failed_.insert(name);
  record(name, std::move(verdict));
}

void Report::note(const char* name, std::string detail) {
  findings_.push_back({component_, name, Outcome::kPass, std::move(detail)});
}

void Report::record(const char* name, Verdict verdict) {
  if (!variant_.empty() && verdict.outcome == Outcome::kFail) {
    verdict.detail = "with " + variant_ + ": " + verdict.detail;
  }
  const auto before = std::find_if(findings_.begin(), findings_.end(),
                                   [&](const Finding& f) { return f.check == name; });
  if (before == findings_.end()) {
    findings_.push_back({component_, name, verdict.outcome, verdict.detail});
  } else if (severity(verdict.outcome) > severity(before->outcome)) {
    before->outcome = verdict.outcome;
    before->detail = verdict.detail;
  }
}

}  // namespace moiety::testing
