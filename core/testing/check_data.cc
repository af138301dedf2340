// A data source: a pure function from sample number to sample, on the host.
#include <fmt/format.h>

#include <moiety/data_source.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <thread>

#include "core/testing/subject.h"
#include "core/testing/workbench.h"

namespace moiety::testing {

namespace {

using Sample = std::vector<std::vector<uint8_t>>;  // bytes of each field

class DataChecks {
 public:
  DataChecks(const Subject& subject, Report& report)
      : subject_(subject), report_(report), source_(subject.make<DataSource>()) {}

  void run() {
    report_.check("fields", [&] { return fields(); });
    report_.check("repeatable", {"fields"}, [&] { return repeatable(); });
    report_.check("order", {"repeatable"}, [&] { return order(); });
    report_.check("written", {"order"}, [&] { return written(); });
    report_.check("bounds", {"fields"}, [&] { return bounds(); });
    report_.check("ids", {"written"}, [&] { return ids(); });
    report_.check("threads", {"order"}, [&] { return threads(); });
    report_.check("resume", {"order"}, [&] { return resume(); });
  }

 private:
  /// The first samples of each split, some within, and the last.
  std::vector<std::pair<Split, int64_t>> numbers() const {
    std::vector<std::pair<Split, int64_t>> chosen;
    for (const Split split : {Split::kTrain, Split::kValidation, Split::kTest}) {
      const int64_t n = source_->size(split);
      std::set<int64_t> in_split;
      for (int64_t i = 0; i < std::min<int64_t>(n, 8); ++i) {
        in_split.insert({i, i * (n / 8), n - 1 - i});
      }
      for (const int64_t i : in_split) chosen.emplace_back(split, i);
    }
    return chosen;
  }

  struct Filled {
    Sample bytes;
    bool intact = true;
  };
  Filled fill(const DataSource& source, Split split, int64_t number, uint8_t poison = 0xff) const {
    Workbench bench(*subject_.devices.cpu, {.poison = poison});
    std::vector<TensorView> rows;
    for (const Field& field : source.fields()) rows.push_back(bench.make(field.dtype, field.shape));
    source.fill(split, number, rows);
    Filled filled;
    for (const TensorView& row : rows) filled.bytes.push_back(bench.bytes(row));
    filled.intact = bench.intact();
    return filled;
  }

  Verdict fields() {
    std::set<std::string> names;
    for (const Field& field : source_->fields()) {
      if (field.name.empty() || !names.insert(field.name).second) {
        return fmt::format("field '{}' is named twice or not at all", field.name);
      }
      for (const int64_t size : field.shape) {
        if (size < 1) return fmt::format("field '{}' has an axis of {}", field.name, size);
      }
    }
    if (names.empty()) return "there is no field";
    if (source_->size(Split::kTrain) < 1) return "there is no sample to train on";
    for (const Split split : {Split::kValidation, Split::kTest}) {
      if (source_->size(split) < 0) return "a split has a negative size";
    }
    return "";
  }

  Verdict repeatable() {
    for (const auto& [split, i] : numbers()) {
      fill(*source_, split, i);  // what the sample before leaves behind is for `order`
      if (fill(*source_, split, i).bytes != fill(*source_, split, i).bytes) {
        return fmt::format("sample {} is another one the second time", i);
      }
    }
    return "";
  }

  Verdict written() {
    for (const auto& [split, i] : numbers()) {
      if (fill(*source_, split, i, 0xff).bytes != fill(*source_, split, i, 0x3e).bytes) {
        return fmt::format("sample {} leaves an element unwritten", i);
      }
    }
    return "";
  }

  Verdict bounds() {
    for (const auto& [split, i] : numbers()) {
      if (!fill(*source_, split, i).intact) return fmt::format("sample {} wrote outside", i);
    }
    return "";
  }

  Verdict ids() {
    const std::vector<Field> fields = source_->fields();
    for (const auto& [split, i] : numbers()) {
      const Sample sample = fill(*source_, split, i).bytes;
      for (size_t f = 0; f < fields.size(); ++f) {
        if (fields[f].dtype != DType::kI32 || fields[f].bound <= 0) continue;
        for (size_t at = 0; at < sample[f].size(); at += sizeof(int32_t)) {
          int32_t id;
          std::memcpy(&id, &sample[f][at], sizeof id);
          const bool no_loss = id < 0 && fields[f].name == "targets";
          if ((id >= 0 && id < fields[f].bound) || no_loss) continue;
          return fmt::format("sample {} has {} in field '{}', whose bound is {}", i, id,
                             fields[f].name, fields[f].bound);
        }
      }
    }
    return "";
  }

  Verdict order() {
    std::vector<std::pair<Split, int64_t>> all = numbers();
    std::vector<Sample> forwards;
    for (const auto& [split, i] : all) forwards.push_back(fill(*source_, split, i).bytes);
    for (size_t k = all.size(); k-- > 0;) {
      if (fill(*source_, all[k].first, all[k].second).bytes != forwards[k]) {
        return fmt::format("sample {} depends on the one before", all[k].second);
      }
    }
    return "";
  }

  Verdict threads() {
    const std::vector<std::pair<Split, int64_t>> all = numbers();
    std::vector<Sample> alone(all.size()), together(all.size());
    for (size_t k = 0; k < all.size(); ++k) {
      alone[k] = fill(*source_, all[k].first, all[k].second).bytes;
    }
    constexpr size_t kThreads = 4;
    std::vector<std::exception_ptr> thrown(kThreads);
    std::vector<std::thread> crew;
    for (size_t t = 0; t < kThreads; ++t) {
      crew.emplace_back([&, t] {
        try {
          for (size_t k = t; k < all.size(); k += kThreads) {
            together[k] = fill(*source_, all[k].first, all[k].second).bytes;
          }
        } catch (...) {
          thrown[t] = std::current_exception();
        }
      });
    }
    for (std::thread& thread : crew) thread.join();
    for (const std::exception_ptr& e : thrown) {
      if (e) std::rethrow_exception(e);
    }
    return alone == together ? "" : "samples filled on several threads differ";
  }

  Verdict resume() {
    const auto fresh = subject_.make<DataSource>();
    for (const auto& [split, i] : numbers()) {
      if (fill(*fresh, split, i).bytes != fill(*source_, split, i).bytes) {
        return fmt::format("a new instance has another sample {}", i);
      }
    }
    return "";
  }

  const Subject& subject_;
  Report& report_;
  std::shared_ptr<DataSource> source_;
};

}  // namespace

void check_data(const Subject& subject, Report& report) { DataChecks(subject, report).run(); }

}  // namespace moiety::testing
